#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cuts Discord's OpenAPI description down to the endpoints that crier uses.

usage: trim.py openapi.json > spec/discord-api/openapi.json

The input is the file specs/openapi.json of github.com/discord/discord-api-spec. Kept are the
endpoints below with every schema, response and header that they refer to, unchanged but for
descriptions, which are left out.
"""
import json
import sys

ENDPOINTS = {
    "/channels/{channel_id}": ["get", "delete"],
    "/channels/{channel_id}/threads": ["post"],
    "/channels/{channel_id}/messages/{message_id}/threads": ["post"],
    "/channels/{channel_id}/messages": ["get", "post"],
    "/channels/{channel_id}/messages/{message_id}": ["get", "patch", "delete"],
    "/channels/{channel_id}/messages/{message_id}/crosspost": ["post"],
    "/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me": ["put", "delete"],
    "/channels/{channel_id}/typing": ["post"],
    "/guilds/{guild_id}": ["get"],
    "/guilds/{guild_id}/channels": ["get"],
    "/guilds/{guild_id}/invites": ["get"],
    "/guilds/{guild_id}/roles": ["get", "post"],
    "/guilds/{guild_id}/roles/{role_id}": ["get", "patch", "delete"],
    "/guilds/{guild_id}/members/{user_id}": ["get", "patch"],
    "/guilds/{guild_id}/members/{user_id}/roles/{role_id}": ["put", "delete"],
    "/channels/{channel_id}/permissions/{overwrite_id}": ["put", "delete"],
    "/users/@me": ["get"],
    "/users/@me/channels": ["post"],
    "/users/@me/guilds": ["get"],
    "/users/{user_id}": ["get"],
    "/gateway": ["get"],
    "/gateway/bot": ["get"],
}


def without_descriptions(node):
    """A property that is called "description" is an object, not a text."""
    if isinstance(node, dict):
        return {
            key: without_descriptions(value)
            for key, value in node.items()
            if key not in ("description", "title") or not isinstance(value, str)
        }
    if isinstance(node, list):
        return [without_descriptions(item) for item in node]
    return node


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    out = {"openapi": spec["openapi"], "info": spec["info"], "paths": {}, "components": {}}
    for path, methods in ENDPOINTS.items():
        item = spec["paths"][path]
        out["paths"][path] = {"parameters": item.get("parameters", [])}
        for method in methods:
            out["paths"][path][method] = item[method]
    todo = list(references(out["paths"]))
    while todo:
        _, _, kind, name = todo.pop().split("/")
        group = out["components"].setdefault(kind, {})
        if name not in group:
            group[name] = spec["components"][kind][name]
            todo.extend(references(group[name]))
    out["components"] = {
        kind: dict(sorted(group.items())) for kind, group in sorted(out["components"].items())
    }
    info = out.pop("info")
    out = without_descriptions(out)
    out["info"] = info
    json.dump(out, sys.stdout, indent=1, sort_keys=False, ensure_ascii=False)
    print()


main()
