#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Figures of a whole bot: bot.py CRIER start|memory|idle|scheduled|reload...

Prints `name value unit`, tab-separated, and for a peer `name value peer what`. The bot is judged from outside: by a server that it sends to, by /proc, by the
records it leaves."""

import glob
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

CRIER = sys.argv[1] if len(sys.argv) > 1 else "build/crier"
HERE = os.path.dirname(os.path.abspath(__file__))
ENV = dict(os.environ, DISCORD_TOKEN="bench.token.of-no-use")
STARTS = 21

HEAD = """local crier = require "crier"
crier.bot { token = crier.secret.env "DISCORD_TOKEN", requests_per_second = 10000 }
crier.sink.json { name = "files", path = "History", kinds = { "message", "system" } }
"""

ONE = HEAD + """crier.GUILD { snowflake = "863071397207212052", logging = true, messages = {
  crier.TextMESSAGE { name = "m", channels = { "978332728615378984" }, period = "1h", data = "x" } } }
"""

IDLE = HEAD + """local messages = {}
for i = 1, 1000 do
  messages[i] = crier.TextMESSAGE { name = "m" .. i, channels = { "978332728615378984" },
                                    period = "1h", start_in = "1h", data = "x" }
end
crier.GUILD { snowflake = "863071397207212052", logging = true, messages = messages }
"""

# 100,000 messages over 1,000 channels; from the fifth second on 1,000 of them are due a second.
SCHEDULED = HEAD + """local messages = {}
for i = 1, 100000 do
  messages[i] = crier.TextMESSAGE { name = "m" .. i, channels = { 978332728615370000 + i % 1000 },
                                    period = "100s", start_in = 5 + i / 1000, data = "message " .. i }
end
crier.GUILD { snowflake = "863071397207212052", logging = true, messages = messages }
"""

# The text of each send is its due time in microseconds: a lost or a doubled one shows.
RELOAD = HEAD + """local due = crier.data_function(function(ctx)
  return string.format("%.0f", ctx.due * 1e6)
end)
local messages = { crier.TextMESSAGE { name = "ticker", channels = { "978332728615378984" },
                                       period = "100ms", data = due() } }
for i = 1, 9999 do
  messages[i + 1] = crier.TextMESSAGE { name = "m" .. i, channels = { 978332728615370000 + i % 100 },
                                        period = "20s", start_in = 1 + i / 500, data = due() }
end
crier.GUILD { snowflake = "863071397207212052", logging = true, messages = messages }
"""


def say(name, value, unit):
    print(f"{name}\t{value:.4g}\t{unit}", flush=True)


def peer(name, value, what):
    print(f"{name}\t{value:.4g}\tpeer\t{what}", flush=True)


def note(text):
    print(text, file=sys.stderr, flush=True)


def hwm(pid):
    """Peak resident memory in MiB; of the address space, so nothing of ours is in it."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def switches(pid):
    """Voluntary context switches of all threads: each wake-up ends in one."""
    count = 0
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        with open(path, encoding="ascii") as file:
            for line in file:
                if line.startswith("voluntary_ctxt_switches:"):
                    count += int(line.split()[1])
    return count


def cpu(pid):
    """CPU milliseconds of all threads so far: what a busy machine does not add to."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e6


class Bot:
    """`crier run` on a script in a folder of its own."""

    def __init__(self, script, *args):
        self.folder = tempfile.mkdtemp(prefix="crier-bench-")
        self.path = os.path.join(self.folder, "bot.lua")
        self.write(script)
        self.args = args
        self.process = None

    def write(self, script):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(script)

    def __enter__(self):
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.began = time.perf_counter()
        self.process = subprocess.Popen([CRIER, "run", self.path, *self.args], env=ENV,
                                        stdout=self.log, stderr=self.log)
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait()
        self.log.close()
        if code != 0 and exc[0] is None:
            with open(self.log.name, encoding="utf-8") as file:
                sys.exit(f"crier ended with {code}: {file.read()[:2000]}")
        shutil.rmtree(self.folder)

    def ask(self, *command):
        out = subprocess.run([CRIER, *command, "--json", self.path], env=ENV, check=False,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return json.loads(out.stdout) if out.returncode == 0 else None

    def wait_up(self, within=60):
        """Seconds from exec to the first answer on the control socket."""
        control = os.path.join(self.folder, ".crier", "sim", "control")
        while time.perf_counter() - self.began < within and self.process.poll() is None:
            if glob.glob(control + "*"):
                answer = self.ask("status")
                if answer:
                    return time.perf_counter() - self.began, answer
            time.sleep(0.005)
        sys.exit("the bot did not come up: " + open(self.log.name, encoding="utf-8").read()[:2000])

    def sends(self):
        """(name, text, time) of every message that was recorded as sent."""
        out = []
        for path in glob.glob(os.path.join(self.folder, "History", "**", "*.json"), recursive=True):
            if os.path.basename(path).startswith("@"):
                continue
            with open(path, encoding="utf-8") as file:
                for entry in json.load(file)["message_history"]:
                    record = entry["record"]
                    if record.get("ok"):
                        out.append((record["name"], entry["sent_data"]["text"], record["time"]))
        return out


class Server:
    """As much of Discord as a bot needs to start; notes when which request came."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = "http://127.0.0.1:%d" % self.socket.getsockname()[1]
        self.first = self.create = None
        self.created = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def reset(self):
        self.first = self.create = None
        self.created.clear()

    def serve(self, conn):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                chunk = conn.recv(65536)
                now = time.perf_counter()
                if not chunk:
                    conn.close()
                    return
                self.first = self.first or now
                data += chunk
            head, data = data.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            length = 0
            for line in lines[1:]:
                if line.lower().startswith("content-length:"):
                    length = int(line.split(":")[1])
            while len(data) < length:
                data += conn.recv(65536)
            data = data[length:]
            path = lines[0].split()[1]
            body = {"id": "1", "username": "bench", "bot": True, "name": "n", "type": 0}
            if path.endswith("/channels"):
                body = []
            if lines[0].startswith("POST"):
                self.create = self.create or now
                self.created.set()
            text = json.dumps(body).encode()
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                         + str(len(text)).encode() + b"\r\n\r\n" + text)


NODE = shutil.which("node")
NODE_GET = "require('http').get(process.argv[1]+'/users/@me',r=>r.resume())"


def start():
    server = Server()
    first, create, busy = [], [], []
    for _ in range(STARTS):
        server.reset()
        with Bot(ONE, "--sim-url", server.url) as bot:
            if not server.created.wait(20):
                sys.exit("no message was sent: " + open(bot.log.name, encoding="utf-8").read())
            busy.append(cpu(bot.process.pid))
        first.append((server.first - bot.began) * 1e3)
        create.append((server.create - bot.began) * 1e3)
    say("start_first_request", statistics.median(first), "ms")
    say("start_first_message", statistics.median(create), "ms")
    say("start_first_message_cpu", statistics.median(busy), "ms")
    if not NODE:
        return
    first = []
    for _ in range(STARTS):
        server.reset()
        began = time.perf_counter()
        subprocess.run([NODE, "-e", NODE_GET, server.url], check=True)
        first.append((server.first - began) * 1e3)
    peer("start_first_request", statistics.median(first), "node, one http.get")


def peak(process, seconds):
    most, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until and process.poll() is None:
        most = max(most, hwm(process.pid))
        time.sleep(0.05)
    return most


def memory():
    script = os.path.join(HERE, "..", "..", "examples", "quickstart.lua")
    with open(script, encoding="utf-8") as file:
        bot = Bot(file.read(), "--sim", "--world", script.replace(".lua", ".world.json"),
                  "--for", "10s")
    with bot:
        say("quickstart_peak_memory", peak(bot.process, 60), "MiB")
    if NODE:
        process = subprocess.Popen([NODE, "-e", "setTimeout(()=>{},2000)"])
        peer("quickstart_peak_memory", peak(process, 10), "node, one timer")


def idle():
    server = Server()
    for name, args in (("idle_wake_ups", ("--sim-url", server.url)),
                       ("idle_wake_ups_with_simulator", ("--sim",))):
        with Bot(IDLE, *args) as bot:
            bot.wait_up()
            time.sleep(4)
            before = switches(bot.process.pid)
            time.sleep(10)
            say(name, switches(bot.process.pid) - before, "in 10 s")
    if NODE:
        code = "for(let i=0;i<1000;i++)setTimeout(()=>{},3600e3+i)"
        process = subprocess.Popen([NODE, "-e", code])
        time.sleep(4)
        before = switches(process.pid)
        time.sleep(10)
        peer("idle_wake_ups", switches(process.pid) - before, "node, 1,000 timers")
        process.kill()
        process.wait()


def scheduled():
    with Bot(SCHEDULED, "--sim-inline", "--sim-no-limits") as bot:
        loaded, _ = bot.wait_up()
        say("scheduled_load", loaded, "s")
        time.sleep(8)
        before = bot.ask("status")
        time.sleep(12)
        status = bot.ask("status")
        say("scheduled_late_median", status["late_p50"] * 1e3, "ms")
        say("scheduled_late_p99", status["late_p99"] * 1e3, "ms")
        say("scheduled_late_max", status["late_max"] * 1e3, "ms")
        say("scheduled_sent", (status["sent"] - before["sent"]) / (status["up"] - before["up"]),
            "a second")
        say("scheduled_skipped", status["skipped"] + status["failed"], "messages")
        say("scheduled_peak_memory", hwm(bot.process.pid), "MiB")


def stamp(text):
    """Microseconds of the minute from RFC 3339."""
    import datetime
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def reload():
    with Bot(RELOAD, "--sim-inline", "--sim-no-limits") as bot:
        bot.wait_up()
        time.sleep(3)
        blocked, took = {}, []
        for kind in ("", "_all_changed"):
            blocked[kind] = []
            for i in range(5):
                script = RELOAD + f"crier.log.info('edition {i}')\n"
                if kind:
                    script = script.replace("data = due()", f'data = due(), remove_after = "{30 + i}d"')
                bot.write(script)
                answer = bot.ask("reload")
                if not answer or answer["changed"] != (10000 if kind else 0):
                    sys.exit(f"not the reload that was meant: {answer}")
                blocked[kind].append(answer["blocked"] * 1e3)
                took.append(answer["took"] * 1e3)
                time.sleep(1)
        time.sleep(1)
        skipped = bot.ask("status")["skipped"]
        end = time.time() * 1e6
        bot.process.terminate()
        bot.process.wait()
        sends = bot.sends()
        for kind, values in blocked.items():
            say(f"reload{kind}_blocked", statistics.median(values), "ms")
            say(f"reload{kind}_blocked_max", max(values), "ms")
        say("reload_took", statistics.median(took), "ms")

        times = sorted(stamp(at) for name, _, at in sends if name == "ticker")
        gaps = [b - a for a, b in zip(times, times[1:])]
        say("reload_ticker_gap_max", max(gaps) * 1e3, "ms of 100")
        seen = {}
        for name, text, _ in sends:
            seen.setdefault(name, []).append(int(text))
        doubled = lost = 0
        for name, dues in seen.items():
            period = 100000 if name == "ticker" else 20000000
            distinct = set(dues)
            doubled += len(dues) - len(distinct)
            # Each due time from the first on; one just before the end may be under way.
            due = min(distinct)
            while due < end - 500000:
                lost += due not in distinct
                due += period
        say("reload_doubled", doubled, "sends")
        say("reload_lost", max(0, lost - skipped), "sends")
        say("reload_skipped_late", skipped, "sends, counted")
        say("reload_messages_seen", len(seen), "of 10000")


GROUPS = {"start": start, "memory": memory, "idle": idle, "scheduled": scheduled, "reload": reload}

for group in sys.argv[2:] or GROUPS:
    GROUPS[group]()
