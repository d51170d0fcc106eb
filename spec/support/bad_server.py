# SPDX-License-Identifier: MIT
"""A Discord that answers creates badly, by the channel's id; all else as it should.

usage: bad_server.py [CERT KEY]     prints the port; with a certificate it speaks TLS
"""
import http.server
import json
import socketserver
import ssl
import sys
import time

seen = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def say(self, body, headers=(), status=200, kind="application/json"):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.endswith("/users/@me"):
            self.say(b'{"id":"42","username":"crier","bot":true}')
        elif self.path.endswith("/channels"):
            self.say(b"[]")
        else:
            self.say(json.dumps({"id": "1", "name": "x"}).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        channel = self.path.split("/")[-2]
        seen[channel] = seen.get(channel, 0) + 1
        good = json.dumps({"id": "77", "author": {"id": "42"}, "content": "x"}).encode()
        first = seen[channel] == 1
        if not first or channel == "309":
            # Reset times of a server whose clock is a day off; Reset-After is right.
            off = [("X-RateLimit-Limit", "5"), ("X-RateLimit-Remaining", "4"),
                   ("X-RateLimit-Reset", str(time.time() - 86400)),
                   ("X-RateLimit-Reset-After", "0.2"), ("X-RateLimit-Bucket", "b" + channel)]
            self.say(good, off if channel == "309" else ())
        elif channel == "301":
            self.say(b"<html>Please log in to the network</html>", kind="text/html")
        elif channel == "302":
            self.say(b"{}")
        elif channel == "303":
            self.say(b'{"id":"77","news":[{}],"flags":"many","embeds":null,"author":7}')
        elif channel == "304":
            self.send_response(200)
            self.send_header("Content-Length", str(64 << 20))
            self.end_headers()
            try:
                for _ in range(64):
                    self.wfile.write(b" " * (1 << 20))
            except OSError:
                self.close_connection = True
        elif channel == "305":
            self.say(good, [("X-Bomb-%d" % i, "x" * 4000) for i in range(99)])
        elif channel == "306":
            self.say(b'{"id":"77\xff\xfe"}')
        elif channel == "307":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"id\":")
            self.close_connection = True
        elif channel == "308":
            self.wfile.write(b"\x16\x03\x01 this is not HTTP at all\r\n\r\n")
            self.close_connection = True


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("port %d" % server.server_port, flush=True)
server.serve_forever()
