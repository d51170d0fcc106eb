#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same small works in Python's own library: peers.py timers|record_encode|sink_push.

Prints `name value`, tab-separated, in the units of the benchmark of that name."""

import heapq
import json
import queue
import random
import sys
import time

COUNT = 200000
RECORD = {
    "id": "01G3RVWK0R" + "0" * 16, "time": "2025-11-21T22:31:10.123456Z", "node": "web-1",
    "kind": "log", "level": "info", "logger": "bot.gallery",
    "text": "the roll went round and the third picture is shown", "where": "bot.lua:14",
    "user": "somebody with a name", "channel": "978332728615378984", "cached": True,
}


def timed(work, count, scale=1e6):
    best = 1e9
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best / count * scale


def timers():
    dues = [random.random() for _ in range(1000000)]
    heap = []
    start = time.perf_counter()
    for due in dues:
        heapq.heappush(heap, due)
    print(f"timer_insert\t{(time.perf_counter() - start):.4g}")
    start = time.perf_counter()
    while heap:
        heapq.heappop(heap)
    print(f"timer_fire\t{(time.perf_counter() - start):.4g}")


def record_encode():
    def encode():
        for i in range(COUNT):
            json.dumps(dict(RECORD, seq=i, count=i, runtime=0.125 + i))

    text = json.dumps(dict(RECORD, seq=1, count=1, runtime=1.125))

    def scan():
        for _ in range(COUNT):
            json.loads(text)

    print(f"record_build_encode\t{timed(encode, COUNT):.4g}")
    print(f"record_scan\t{timed(scan, COUNT):.4g}")


def sink_push():
    def push():
        q = queue.SimpleQueue()
        for _ in range(COUNT):
            q.put(RECORD)

    print(f"sink.push\t{timed(push, COUNT, 1e9):.4g}")


{"timers": timers, "record_encode": record_encode, "sink_push": sink_push}[sys.argv[1]]()
