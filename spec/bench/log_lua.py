#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Logging from Lua into a file: log_lua.py CRIER log_lua|transform TMP

Prints `name value unit`, and for a peer `name value peer what`, tab-separated. Each program writes the
same lines of some 300 bytes, five fields in each, and ends when they are in the file. A figure is the
median of the rounds, in which the programs take turns; the time that a program needs for one line
(it starts, it ends) is taken off."""

import os
import statistics
import subprocess
import sys
import time

CRIER, GROUP, TMP = sys.argv[1], sys.argv[2], os.path.abspath(sys.argv[3])
HERE = os.path.dirname(os.path.abspath(__file__))
N = int(os.environ.get("RECORDS", "1000000"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
OUT = os.path.join(TMP, "out.jsonl")

SCRIPT = """local crier = require "crier"
crier.config { limits = { callback = false, stop = "60s" }, node = "vm" }
crier.sink.jsonl { path = os.getenv "OUT", overflow = "block" }
%s
crier.on("start", function()
  local info = crier.log.info
  for i = 1, tonumber(os.getenv "N") do
    info("order accepted by the warehouse, to be packed", { user = "145196308985020416",
         item = "herring", count = i, price = 12.75, paid = true })
  end
end)
"""
ADD = 'crier.transform(function(r) return r:with { region = "eu" } end)'


def script(name, more):
    path = os.path.join(TMP, name + ".lua")
    with open(path, "w", encoding="utf-8") as f:
        f.write(SCRIPT % more)
    return [os.path.abspath(CRIER), "run", name + ".lua", "--for", "1ms", "--state", os.path.join(TMP, "state")]


def run(argv, n):
    if os.path.exists(OUT):
        os.unlink(OUT)
    began = time.monotonic()
    r = subprocess.run(argv, cwd=TMP, env=dict(os.environ, N=str(n), OUT=OUT), stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, check=False)
    took = time.monotonic() - began
    with open(OUT, "rb") as f:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: f.read(1 << 20), b""))
    if r.returncode != 0 or not n <= lines <= n + 20:
        sys.exit(f"{argv[0]}: {lines} lines of {n}, code {r.returncode}: {r.stderr.decode()}")
    return took, os.path.getsize(OUT) / lines


def spdlog():
    """The peer's program, or None where there is no compiler or no library."""
    program = os.path.join(TMP, "spdlog")
    try:
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "spdlog"], check=True,
                               capture_output=True, text=True).stdout.split()
        subprocess.run(["g++", "-O2", "-std=c++17", "-o", program,
                        os.path.join(HERE, "log_peer.cpp"), *flags, "-lpthread"], check=True,
                       capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print("g++ or spdlog is not installed: its figures are -", file=sys.stderr)
        return None
    return program


def lua_logging():
    peer = ["lua5.4", os.path.join(HERE, "log_peer.lua")]
    try:
        run(peer, 1)
    except (OSError, SystemExit):
        print("LuaLogging (package lua-logging) is not installed: its figures are -",
              file=sys.stderr)
        return None
    return peer


def main():
    plain = script("plain", "")
    programs = {"log_lua": plain}
    if GROUP == "transform":
        programs = {"transform_none": plain, "transform": script("transform", ADD)}
    else:
        binary = spdlog()
        if binary:
            programs["async"] = [binary, "async"]
            programs["sync"] = [binary, "sync"]
        peer = lua_logging()
        if peer:
            programs["lualogging"] = peer
    rates = {name: [] for name in programs}
    sizes = {}
    for _ in range(ROUNDS):
        for name, argv in programs.items():
            once, _ = run(argv, 1)
            took, sizes[name] = run(argv, N)
            rates[name].append(N / (took - once))
    median = {name: statistics.median(values) for name, values in rates.items()}
    if GROUP == "transform":
        for name in programs:
            print(f"{name}\t{median[name]:.0f}\trecords/s")
        return
    ours = f"{median['log_lua']:.0f}\trecords/s"
    print(f"log_lua\t{ours}")
    print(f"log_lua_spdlog_async\t{ours}")
    print(f"log_lua_line\t{sizes['log_lua']:.0f}\tbytes")
    if "lualogging" in median:
        print(f"log_lua\t{median['lualogging']:.0f}\tpeer\tLuaLogging file")
        print(f"log_lua_line\t{sizes['lualogging']:.0f}\tpeer\tLuaLogging file")
    if "async" in median:
        print(f"log_lua_spdlog_async\t{median['async']:.0f}\tpeer\tspdlog async")
        print(f"log_lua_spdlog_sync\t{ours}")
        print(f"log_lua_spdlog_sync\t{median['sync']:.0f}\tpeer\tspdlog sync")


main()
