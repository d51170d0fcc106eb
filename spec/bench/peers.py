#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same small works in Python's own library: peers.py timers|sched|record_encode|
sink_push|query.

Prints `name value`, tab-separated, in the units of the benchmark of that name."""

import csv
import heapq
import json
import queue
import random
import re
import sqlite3
import sys
import tempfile
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


def sched():
    try:
        import croniter
    except ImportError:
        print("python3-croniter is not installed: its figures are -", file=sys.stderr)
        return
    for name, text in (("cron_workdays", "0 9 * * 1-5"), ("cron_five_minutes", "*/5 * * * *"),
                       ("cron_monthly", "15 3 1 * *")):
        times = [1500000000 + random.random() * 315360000 for _ in range(2000)]

        def work():
            for t in times:
                croniter.croniter(text, t).get_next(float)

        print(f"{name}\t{timed(work, len(times), 1e9):.4g}")


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


def rows():
    for i in range(100000):
        yield {
            "id": "01G3RVWK0R%016d" % i, "seq": i, "time": 1763764270.123456 + i, "node": "web-1",
            "kind": "log", "level": "info", "logger": "bot.rolls",
            "text": "the roll went round and the third picture is shown", "where": "bot.lua:14",
            "user": "somebody with a name" if i % 20 else "nobody of that name", "count": i % 20,
            "share": i / 1000, "late": False, "channel": "978332728615378984",
        }


def query():
    """In memory and from a CSV: SQLite without an index, and the csv module; from lines of JSON: json."""
    names = list(next(rows()))
    con = sqlite3.connect(":memory:")
    con.create_function("regexp", 2, lambda p, s: re.search(p, s) is not None, deterministic=True)
    con.execute("create table records (%s)" % ", ".join(f'"{n}"' for n in names))
    con.executemany("insert into records values (%s)" % ", ".join("?" * len(names)),
                    (list(r.values()) for r in rows()))
    since = 1763764270.123456 + 95000
    where = {"text": ("user = ?", "nobody of that name"), "number": ("count = ?", 0),
             "time": ("kind = 'log' and time >= ?", since), "regex": ("user regexp ?", "^no.*name$")}
    test = {"text": lambda r: r["user"] == "nobody of that name", "number": lambda r: int(r["count"]) == 0,
            "time": lambda r: r["kind"] == "log" and float(r["time"]) >= since,
            "regex": lambda r: re.search("^no.*name$", r["user"])}
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/x.jsonl", "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows())
        with open(folder + "/x.csv", "w", newline="") as f:
            out = csv.DictWriter(f, names)
            out.writeheader()
            out.writerows(rows())

        def ask_memory(which):
            hits = con.execute("select * from records where " + where[which][0], where[which][1:])
            return len(hits.fetchall())

        def ask_jsonl(which):
            with open(folder + "/x.jsonl") as f:
                return len([r for r in map(json.loads, f) if test[which](r)])

        def ask_csv(which):
            with open(folder + "/x.csv", newline="") as f:
                return len([r for r in csv.DictReader(f) if test[which](r)])

        for store, ask in ("memory", ask_memory), ("jsonl", ask_jsonl), ("csv", ask_csv):
            for which in where:
                assert ask(which) == 5000, (store, which)
                print(f"query_{store}_{which}\t{timed(lambda: ask(which), 1, 1e3):.4g}")


{"query": query, "timers": timers, "sched": sched,
 "record_encode": record_encode, "sink_push": sink_push}[sys.argv[1]]()
