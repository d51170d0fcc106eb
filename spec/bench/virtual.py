#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Figures of virtual time: virtual.py CRIER

A year of 100 messages, each hourly into a channel of its own, with a data function in Lua and records
to a memory sink; and a day of 10,000 messages with periods from 10 s to a day. Prints `name value
unit`, tab-separated: CPU time of the whole process, which has no second thread that works, and its
peak memory."""

import os
import re
import subprocess
import sys
import tempfile

CRIER = sys.argv[1] if len(sys.argv) > 1 else "build/crier"

SCRIPT = """local crier = require "crier"
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
crier.sink.memory { name = "memory" }
local sent = 0
local get = crier.data_function(function(ctx, texts)
  sent = sent + 1
  return texts[sent %% #texts + 1] .. " " .. sent
end)
local messages = {}
for i = 1, %d do
  messages[i] = crier.TextMESSAGE { name = "m" .. i, channels = { tostring(1000 + i) },
    period = %s, start_in = i %% 3600, data = get { "first", "second", "third" } }
end
crier.GUILD { snowflake = "100", logging = true, messages = messages }
"""

RUNS = {
    "year": (100, '"1h"', "365d"),
    "day": (10000, "10 + (i - 1) * (86400 - 10) / 9999", "1d"),
}


def run(folder, count, period, span):
    script = os.path.join(folder, "bot.lua")
    with open(script, "w", encoding="utf-8") as f:
        f.write(SCRIPT % (count, period))
    with subprocess.Popen([CRIER, "simulate", script, "--for", span, "--summary"],
                          env=dict(os.environ, DISCORD_TOKEN="bench.token.of-no-use"),
                          stdout=subprocess.PIPE, text=True) as process:
        summary = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"crier simulate ended with {process.returncode}")
    return usage, summary


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name, (count, period, span) in RUNS.items():
            usage, summary = run(folder, count, period, span)
            seconds = usage.ru_utime + usage.ru_stime
            sends = int(re.search(r"(\d+) sends", summary).group(1))
            print(f"virtual_{name}\t{seconds:.2f}\ts")
            print(f"virtual_{name}_send\t{seconds / sends * 1e6:.1f}\tus")
            print(f"virtual_{name}_memory\t{usage.ru_maxrss / 1024:.0f}\tMiB")


main()
