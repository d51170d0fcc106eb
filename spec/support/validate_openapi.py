#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares HTTP exchanges with Discord's OpenAPI description (spec/discord-api/openapi.json).

usage: validate_openapi.py [FILE]       (standard input without FILE)

One JSON object a line:
    {"method": "POST", "path": "/channels/1/messages", "part": "request", "body": {...}}
    {"method": "POST", "path": "/channels/1/messages", "part": "response", "status": 200,
     "body": {...}}
path is below /api/v10, a query is cut off. For a multipart request, body is its payload_json.
No body: leave `body` out.

Prints a line for each violation, "line 3: POST /channels/1/messages request: $.embeds[0].title:
..."; exit code 1 when there was one, 2 when the input makes no sense, 0 otherwise, with a last
line that counts the exchanges.

Beside the description it checks what that cannot say: keys that no schema knows (Discord ignores
a misspelt one in silence), content above 2,000 characters (the description allows 4,000), embeds
above 6,000 characters in sum, empty messages.
"""
import datetime
import json
import os
import re
import sys
import warnings

warnings.filterwarnings("ignore", category=DeprecationWarning)
from jsonschema import Draft202012Validator, FormatChecker, RefResolver  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SPEC = os.path.join(HERE, "..", "discord-api", "openapi.json")

formats = FormatChecker(formats=())


@formats.checks("snowflake")
def is_snowflake(value):
    return not isinstance(value, str) or (value.isdecimal() and int(value) < 2**64)


@formats.checks("nonce")
def is_nonce(value):
    return not isinstance(value, str) or len(value) <= 25


@formats.checks("int32")
def is_int32(value):
    return not isinstance(value, int) or -(2**31) <= value < 2**31


@formats.checks("int64")
def is_int64(value):
    return not isinstance(value, int) or -(2**63) <= value < 2**63


@formats.checks("uri")
def is_uri(value):
    return not isinstance(value, str) or bool(re.match(r"[a-z][a-z0-9+.-]*:[^\s]+$", value, re.I))


@formats.checks("date-time")
def is_date_time(value):
    if not isinstance(value, str):
        return True
    if not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$", value):
        return False
    try:
        datetime.datetime.strptime(value[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return False
    return True


class Description:
    def __init__(self, spec):
        self.spec = spec
        # It says that the codes in a tree of form errors are integers; the documentation's
        # examples ("BASE_TYPE_CHOICES" in reference.mdx, "Error Messages") and clients say texts.
        spec["components"]["schemas"]["InnerErrors"]["properties"]["_errors"]["items"] = {
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            "required": ["code", "message"],
        }
        self.resolver = RefResolver.from_schema(spec)

    def find_path(self, path):
        """The template that a path matches, the one with the fewest parameters first."""
        want = path.split("?")[0].strip("/").split("/")
        found = []
        for template in self.spec["paths"]:
            have = template.strip("/").split("/")
            if len(have) == len(want) and all(
                h == w or h.startswith("{") for h, w in zip(have, want)
            ):
                found.append((template.count("{"), template))
        return min(found)[1] if found else None

    def deref(self, node):
        while isinstance(node, dict) and "$ref" in node:
            node = self.resolver.resolve(node["$ref"])[1]
        return node

    def schema(self, method, path, part, status):
        """The JSON schema of a body; None: it has none. KeyError: not described."""
        template = self.find_path(path)
        if template is None:
            raise KeyError("the description has no such path")
        operation = self.spec["paths"][template].get(method.lower())
        if operation is None:
            raise KeyError("the description has no such method")
        if part == "request":
            holder = operation.get("requestBody")
        else:
            answers = operation["responses"]
            holder = answers.get(str(status)) or answers.get("%dXX" % (status // 100))
            if holder is None:
                raise KeyError("the description has no status %s" % status)
        content = self.deref(holder or {}).get("content", {})
        return content["application/json"]["schema"] if content else None

    def properties(self, schema, value, seen=()):
        """The union of the properties of a schema and its alternatives; None: anything goes."""
        schema = self.deref(schema)
        if schema.get("additionalProperties"):
            return None
        known = dict(schema.get("properties", {}))
        for word in ("allOf", "oneOf", "anyOf"):
            for branch in schema.get(word, ()):
                more = self.properties(branch, value)
                if more is None:
                    return None
                for name, sub in more.items():
                    known[name] = {"anyOf": [known[name], sub]} if name in known else sub
        return known

    def items(self, schema):
        schema = self.deref(schema)
        if "items" in schema:
            return schema["items"]
        branches = [
            item
            for word in ("allOf", "oneOf", "anyOf")
            for item in map(self.items, schema.get(word, ()))
            if item
        ]
        return {"anyOf": branches} if branches else None

    def unknown_keys(self, schema, value, path):
        if isinstance(value, dict):
            known = self.properties(schema, value)
            if known is None:
                return
            for name, sub in value.items():
                if name not in known:
                    yield path + "." + name, "no schema knows this key"
                else:
                    yield from self.unknown_keys(known[name], sub, path + "." + name)
        elif isinstance(value, list):
            item = self.items(schema)
            for i, sub in enumerate(value if item else ()):
                yield from self.unknown_keys(item, sub, "%s[%d]" % (path, i))

    def violations(self, schema, value):
        validator = Draft202012Validator(schema, resolver=self.resolver, format_checker=formats)
        for error in validator.iter_errors(value):
            deepest = error
            while deepest.context:
                deepest = max(deepest.context, key=lambda e: len(e.absolute_path))
            yield deepest.json_path, deepest.message[:300]
        yield from self.unknown_keys(schema, value, "$")


def characters(text):
    return len(text.encode("utf-16-le", "surrogatepass")) // 2 if isinstance(text, str) else 0


def embed_size(embed):
    total = characters(embed.get("title")) + characters(embed.get("description"))
    total += characters((embed.get("footer") or {}).get("text"))
    total += characters((embed.get("author") or {}).get("name"))
    for field in embed.get("fields") or ():
        total += characters(field.get("name")) + characters(field.get("value"))
    return total


def message_rules(exchange):
    """What Discord's documentation says of a message and the description cannot."""
    body = exchange.get("body")
    match = re.match(r"/channels/\d+/messages(/\d+)?$", exchange["path"].split("?")[0])
    if exchange["part"] != "request" or not match or not isinstance(body, dict):
        return
    if characters(body.get("content")) > 2000:
        yield "$.content", "more than 2000 characters"
    embeds = [e for e in body.get("embeds") or () if isinstance(e, dict)]
    if sum(map(embed_size, embeds)) > 6000:
        yield "$.embeds", "more than 6000 characters in sum"
    parts = ("content", "embeds", "sticker_ids", "components", "attachments", "poll")
    if exchange["method"] == "POST" and not any(body.get(part) for part in parts):
        yield "$", "an empty message"


def check(description, exchange):
    try:
        schema = description.schema(
            exchange["method"], exchange["path"], exchange["part"], exchange.get("status")
        )
    except KeyError as error:
        yield "$", error.args[0]
        return
    if schema is None:
        if exchange.get("body") is not None:
            yield "$", "a body where the description has none"
        return
    if "body" not in exchange:
        if exchange["part"] == "response":
            yield "$", "no body where the description has one"
        return
    yield from description.violations(schema, exchange["body"])
    yield from message_rules(exchange)


def main():
    with open(SPEC, encoding="utf-8") as file:
        description = Description(json.load(file))
    source = open(sys.argv[1], encoding="utf-8") if len(sys.argv) > 1 else sys.stdin
    checked = wrong = 0
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            exchange = json.loads(line)
            if exchange["part"] not in ("request", "response"):
                raise ValueError("part is neither request nor response")
            label = "%s %s %s" % (exchange["method"], exchange["path"], exchange["part"])
        except (ValueError, KeyError, TypeError) as error:
            print("line %d: not an exchange: %r" % (number, error), file=sys.stderr)
            return 2
        checked += 1
        for path, text in check(description, exchange):
            wrong += 1
            print("line %d: %s: %s: %s" % (number, label, path, text))
    print("%d exchanges, %d violations" % (checked, wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
