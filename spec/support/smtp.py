# SPDX-License-Identifier: MIT
"""A real SMTP server (aiosmtpd) on loopback, for specs.

    /usr/bin/python3 spec/support/smtp.py DIR MODE...

Says "listening PORT" on standard output; each mail is a file DIR/mail-N.json with the envelope and the message as the
standard library reads it. MODE: starttls (offered, needs DIR/cert.pem and DIR/key.pem), login (user "crier", password
"geheim", required), refuse=ADDRESS (550), busy=N (421 for the first N mails), hang (never answers DATA), slowquit (never
answers QUIT).
"""
import asyncio
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

folder, modes = sys.argv[1], sys.argv[2:]


def value(name):
    for mode in modes:
        if mode.startswith(name + "="):
            return mode[len(name) + 1:]
    return None


class Handler:
    count = 0
    busy = int(value("busy") or 0)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == value("refuse"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        if "hang" in modes:
            await asyncio.sleep(3600)
        if self.busy > 0:
            self.busy -= 1
            return "421 4.3.2 try later"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        mail = {
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None,
            "login": bool(session.authenticated), "subject": message["subject"], "date": message["date"],
            "id": message["message-id"], "header_from": message["from"], "header_to": message["to"],
            "type": message.get_content_type(), "charset": message.get_content_charset(), "text": message.get_content(),
            "defects": [str(d) for d in message.defects]
            + [str(d) for h in message.keys() for d in getattr(message[h], "defects", ())],
            "longest": max(len(line) for line in envelope.content.split(b"\r\n")), "ascii": envelope.content.isascii(),
        }
        Handler.count += 1
        path = os.path.join(folder, "mail-%d.json" % Handler.count)
        with open(path + ".tmp", "w", encoding="utf-8") as f:
            json.dump(mail, f)
        os.rename(path + ".tmp", path)
        return "250 2.0.0 taken"

    async def handle_QUIT(self, server, session, envelope):
        if "slowquit" in modes:
            await asyncio.sleep(3600)
        return "221 bye"


def login(server, session, envelope, mechanism, data):
    good = data.login == b"crier" and data.password == b"geheim"
    return AuthResult(success=good, handled=good)


async def main():
    handler, context, options = Handler(), None, {}
    if "starttls" in modes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
        options["tls_context"] = context
    if "login" in modes:
        options.update(authenticator=login, auth_required=True, auth_require_tls="starttls" in modes)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, hostname="mx.test", **options), "127.0.0.1", 0)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
