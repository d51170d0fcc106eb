#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The usual way to keep a JSON day file: read it, put the record in front, write it anew.

Peer of dayfile.c, same document; prints `name value unit`, tab-separated. The cost of a record is
measured on files that have that many, the median of a few."""

import json
import os
import statistics
import tempfile
import time


def entry(index):
    return {
        "sent_data": {
            "text": "https://static.wikia.nocookie.net/a1dea591-8a10-4c02-a573-5321c601c129"
        },
        "channels": {"successful": [{"name": "sp", "id": 978332728615378984}], "failed": []},
        "type": "TextMESSAGE",
        "mode": "edit",
        "index": index,
        "timestamp": "23.05.2022 18:28:15",
        "record": {
            "id": "01G3RVWK0R" + "0" * 16,
            "seq": index + 1,
            "time": "2022-05-23T16:28:15.000000Z",
            "node": "web-1",
            "level": "info",
            "logger": "message.gallery",
            "text": "gallery #sp edited",
            "where": "bot.lua:14",
            "ok": True,
            "name": "gallery",
            "success_rate": 1.0,
            "runtime": 0.125,
            "requests": 1,
        },
    }


def add(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    history = document["message_history"]
    history.insert(0, entry(history[0]["index"] + 1 if history else 0))
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=4)


def cost(path, count, repeat):
    document = {"name": "\\David's dungeon", "id": 863071397207212052, "type": "GUILD",
                "message_history": [entry(i) for i in range(count - 1, -1, -1)]}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=4)
    took = []
    for _ in range(repeat):
        start = time.perf_counter()
        add(path)
        took.append(time.perf_counter() - start)
    return statistics.median(took)


with tempfile.TemporaryDirectory() as folder:
    name = os.path.join(folder, "G.json")
    first, last = cost(name, 100, 20), cost(name, 10000, 3)
    print(f"dayfile_record_100\t{first * 1e6:.4g}\tus")
    print(f"dayfile_record_10000\t{last * 1e6:.4g}\tus")
    print(f"dayfile_record_10000_to_100\t{last / first:.4g}\tratio")
    print(f"dayfile_batched\t{1 / last:.4g}\trecords/s")
