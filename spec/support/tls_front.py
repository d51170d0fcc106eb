# SPDX-License-Identifier: MIT
"""TLS in front of a simulator on loopback, for HTTP and for its gateway.

usage: tls_front.py CERT KEY PORT [GATEWAY]    prints the port that it listens on
What comes is passed on to 127.0.0.1:PORT, a connection a request; but where the gateway is, is
answered here: wss://127.0.0.1:GATEWAY (its own port).
"""
import json
import socket
import ssl
import sys
import threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
own = listener.getsockname()[1]
gateway = int(sys.argv[4]) if len(sys.argv) > 4 else own


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    finally:
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(plain):
    try:
        client = context.wrap_socket(plain, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return client.close()
            head += data
        if b"/gateway" in head.split(b"\r\n")[0]:
            body = json.dumps({"url": "wss://127.0.0.1:%d" % gateway, "shards": 1, "session_start_limit": {
                "total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}}).encode()
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
            return client.close()
        if b"upgrade: websocket" not in head.lower():
            head = head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        server = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
        server.sendall(head)
        threading.Thread(target=copy, args=(client, server), daemon=True).start()
        copy(server, client)
    except OSError:
        plain.close()


print("port %d" % own, flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
