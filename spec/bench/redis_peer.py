# SPDX-License-Identifier: MIT
"""Recent and common logs as client code usually writes them: redis-py, WATCH ... EXEC for each
record. Starts a redis-server of its own on a Unix socket. Prints name, value and what, tab-separated."""

import subprocess
import tempfile
import time

import redis

RECORDS, MESSAGES = 4000, 500


def log_recent(conn, name, message, severity, pipe):
    key = "recent:%s:%s" % (name, severity)
    pipe.lpush(key, time.asctime() + " " + message)
    pipe.ltrim(key, 0, 99)
    pipe.execute()


def log_common(conn, name, message, severity):
    key = "common:%s:%s" % (name, severity)
    start_key = key + ":start"
    hour = time.strftime("%Y-%m-%dT%H:00:00", time.gmtime())
    with conn.pipeline() as pipe:
        while True:
            try:
                pipe.watch(start_key)
                existing = pipe.get(start_key)
                pipe.multi()
                if existing and existing.decode() < hour:
                    pipe.rename(key, key + ":last")
                    pipe.rename(start_key, key + ":pstart")
                    pipe.set(start_key, hour)
                elif not existing:
                    pipe.set(start_key, hour)
                pipe.zincrby(key, 1, message)
                log_recent(conn, name, message, severity, pipe)
                return
            except redis.exceptions.WatchError:
                continue


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/redis.sock"
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL)
        conn = redis.Redis(unix_socket_path=path)
        try:
            for _ in range(500):
                try:
                    conn.ping()
                    break
                except redis.exceptions.ConnectionError:
                    time.sleep(0.01)
            began = time.monotonic()
            for i in range(RECORDS):
                log_common(conn, "bot", "message %d of five hundred different ones" % (i % MESSAGES), "info")
            rate = RECORDS / (time.monotonic() - began)
            print("redis.write_4096\t%.0f\tredis-py, WATCH and EXEC" % rate)
        finally:
            server.terminate()
            server.wait()


main()
