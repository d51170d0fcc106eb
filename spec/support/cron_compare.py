# SPDX-License-Identifier: MIT
"""Compares `crier when "cron ..."` with croniter over random expressions and dates, in UTC.

cron_compare.py CRIER [ROUNDS]

What is known to differ is not made here, and why:
  - a day field such as */2 beside a restricted other one: croniter takes either day, Debian's cron
    (and crier) both, since a field that begins with * does not count as restricted;
  - a day field that lists every day (1-7, 1-31) beside a restricted other one: croniter takes it for
    *, Debian's cron for a list that always matches;
  - ranges that wrap (FRI-MON, 22-2): croniter 1.3 refuses them;
  - the last weekday: croniter writes L5, Quartz and crier 5L;
  - days on which clocks are set: croniter has rules of its own, so the zone is UTC.
"""
import datetime
import json
import random
import subprocess
import sys

import croniter

NAMES = {4: ["jan", "feb", "MAR", "apr", "may", "Jun", "jul", "aug", "sep", "oct", "nov", "dec"],
         5: ["sun", "MON", "tue", "wed", "thu", "Fri", "sat"]}
FIELDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


def item(rng, index):
    lo, hi = FIELDS[index]
    a, b = sorted(rng.sample(range(lo, hi + 1), 2))
    names = NAMES.get(index + 1)
    kind = rng.random()
    if names and kind < 0.2:
        return rng.choice(names)
    if kind < 0.6:
        return str(a)
    if kind < 0.8:
        return f"{a}-{b}"
    if kind < 0.9:
        return f"{a}-{b}/{rng.randint(1, 5)}"
    return f"{a}/{rng.randint(1, 9)}" if index != 4 else str(a)


def field(rng, index):
    if rng.random() < 0.4:
        return "*"
    if index < 2 and rng.random() < 0.2:
        return f"*/{rng.randint(1, 12)}"
    return ",".join(item(rng, index) for _ in range(rng.choice([1, 1, 1, 2, 3])))


def expression(rng):
    if rng.random() < 0.02:
        return rng.choice(["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@midnight"])
    fields = [field(rng, i) for i in range(5)]
    special = rng.random()
    if special < 0.05:
        fields[2], fields[4] = "L", "*"
    elif special < 0.1:
        fields[2], fields[4] = "*", f"{rng.randint(0, 6)}#{rng.randint(1, 5)}"
    elif special < 0.15:
        fields[2], fields[4] = f"*/{rng.randint(1, 9)}", "*"
    return " ".join(fields)


def main():
    crier, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 300
    rng = random.Random(20261121)
    compared = differ = 0
    while compared < rounds:
        text = expression(rng)
        start = datetime.datetime(2020, 1, 1) + datetime.timedelta(
            seconds=rng.randrange(20 * 365 * 86400))
        try:
            theirs = croniter.croniter(text, start)
            want = [theirs.get_next(datetime.datetime).strftime("%Y-%m-%dT%H:%M:%S")
                    for _ in range(4)]
        except croniter.CroniterError:
            continue  # 30 February
        expanded = croniter.croniter.expand(text)[0]
        if any(expanded[i] == ["*"] and not text.startswith("@") and text.split()[i][0] != "*"
               for i in (2, 4)):
            continue
        out = subprocess.run([crier, "when", "--tz", "UTC", "--json", "--next", "4", "--from",
                              start.strftime("%Y-%m-%dT%H:%M:%S"), "cron " + text],
                             capture_output=True, text=True, check=False)
        got = [json.loads(line)["time"][:19] for line in out.stdout.splitlines()
               if "time" in json.loads(line)]
        compared += 1
        if got != want:
            differ += 1
            print(f"'{text}' from {start}: {got or out.stderr.strip()}, croniter has {want}")
    print(f"{compared} compared, {differ} differ")
    return 1 if differ else 0


sys.exit(main())
