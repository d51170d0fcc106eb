#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a SQL Server says on the wire, to test what is said to it.

    tds.py FOLDER [PORT]

Speaks TDS 7.4 without TLS on 127.0.0.1: login (user `crier`, password `s3cret`, database `bot`),
batches, sp_prepexec, sp_prepare, sp_execute, sp_executesql, sp_unprepare, transaction requests.
The rows are in FOLDER/tds.db, an SQLite database: the statements are those that crier sends, turned
into SQLite's language one pattern at a time, so nothing here tells what a SQL Server makes of them.
The port is written to FOLDER/port when connections are taken.

Faults on demand: a line in FOLDER/fault, which goes when it has struck. `deadlock WORDS`: the next
statement that holds the words is a deadlock's victim. `cut WORDS`: the connection goes in its place.
`lose WORDS`: it is done, and the connection goes before the answer. `full WORDS`: error 9002.
COMMIT is a statement, too.
"""
import functools
import json
import os
import re
import socket
import sqlite3
import struct
import sys
import threading

USER, PASSWORD, DATABASE = "crier", "s3cret", "bot"
COLLATION = bytes((0x09, 0x04, 0xD0, 0x00, 0x34))


class ServerError(Exception):
    def __init__(self, number, text, severity=16):
        super().__init__(text)
        self.number, self.text, self.severity = number, text, severity


class Cut(Exception):
    """The connection is to go."""


# ---- T-SQL into SQLite's language ----


parse = functools.lru_cache(4096)(json.loads)


@functools.lru_cache(1024)
def steps(path):
    return re.findall(r'\.([^."\[]+)|\."((?:[^"\\]|\\.)*)"|\[(\d+)\]', path)


@functools.lru_cache(65536)
def json_value(text, path):
    """JSON_VALUE in lax mode: a scalar as text, at most 4,000 characters, else NULL."""
    try:
        at = parse(text)
    except ValueError:
        return None
    if not path.startswith("$"):
        raise ValueError("a path begins with $")
    for key, quoted, index in steps(path):
        if index:
            at = at[int(index)] if isinstance(at, list) and int(index) < len(at) else None
        else:
            name = json.loads('"%s"' % quoted) if quoted else key
            at = at.get(name) if isinstance(at, dict) else None
        if at is None:
            return None
    if isinstance(at, (dict, list)):
        return None
    if isinstance(at, bool):
        return "true" if at else "false"
    text = at if isinstance(at, str) else repr(at)
    return text if utf16_len(text) <= 4000 else None


def try_float(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def utf16_len(text):
    return None if text is None else len(text.encode("utf-16-le")) // 2


def create_table(text):
    text = text.replace("BIGINT IDENTITY(1, 1) NOT NULL PRIMARY KEY",
                        "INTEGER PRIMARY KEY AUTOINCREMENT")
    text = re.sub(r"(\w+|\[\w+\]) NVARCHAR\(MAX\)", r"\1 TEXT COLLATE NOCASE", text)
    text = re.sub(r"(\w+|\[\w+\]) N?(?:VAR)?CHAR\((\d+)\) COLLATE Latin1_General_BIN2 (NOT NULL|NULL)",
                  r"\1 TEXT \3 CHECK (utf16_len(\1) <= \2)", text)
    return re.sub(r"(\w+|\[\w+\]) N?(?:VAR)?CHAR\((\d+)\) (NOT NULL|NULL)",
                  r"\1 TEXT COLLATE NOCASE \3 CHECK (utf16_len(\1) <= \2)", text)


def merge(text):
    m = re.fullmatch(r"MERGE INTO (\w+) WITH \(HOLDLOCK\) AS t USING \(VALUES (.*)\) AS v \((.*?)\) ON (.*?)"
                     r"( WHEN MATCHED THEN UPDATE SET (.*?))? WHEN NOT MATCHED THEN INSERT \((.*?)\) "
                     r"VALUES \((.*?)\);", text, re.S)
    if not m:
        raise ServerError(102, "Incorrect syntax near 'MERGE'.")
    keys = re.findall(r"t\.(\w+) = v\.(\w+)", m[4])
    if any(a != b for a, b in keys) or m[3] != m[7]:
        raise ServerError(102, "Incorrect syntax near 'ON'.")
    what = "UPDATE SET " + re.sub(r"\bv\.", "excluded.", m[6]) if m[5] else "NOTHING"
    return "INSERT INTO %s (%s) VALUES %s ON CONFLICT (%s) DO %s" % (
        m[1], m[3], m[2], ", ".join(a for a, _ in keys), what)


@functools.lru_cache(1024)
def translate(text):
    """The statements of SQLite that stand for one of T-SQL, and what kind it is."""
    text = text.strip().rstrip(";") if not text.startswith("MERGE") else text
    m = re.fullmatch(r"IF OBJECT_ID\(N'(\w+)', N'U'\) IS NULL BEGIN (.*); END", text, re.S)
    if m:
        first, *rest = m[2].split("; ")
        return [create_table(first).replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)] + [
            s.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS", 1) for s in rest]
    m = re.fullmatch(r"IF NOT EXISTS \(SELECT 1 FROM sys.indexes WHERE name = N'(\w+)'\) (.*)", text)
    if m:
        return [m[2].replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS", 1)]
    m = re.match(r"IF TYPE_ID\(N'(\w+)'\) IS NULL CREATE TYPE", text)
    if m:
        return ["INSERT OR IGNORE INTO fake_objects VALUES ('%s', 'TYPE')" % m[1]]
    m = re.fullmatch(r"EXEC sp_rename N'(\w+)', N'(\w+)'", text)
    if m:
        return ["ALTER TABLE %s RENAME TO %s" % m.groups()]
    if text.startswith("ALTER TABLE"):
        return [create_table(text)]
    m = re.match(r"CREATE (FUNCTION|PROCEDURE) (\w+)", text)
    if m:
        return ["INSERT INTO fake_objects VALUES ('%s', '%s')" % (m[2], m[1])]
    m = re.match(r"DROP (FUNCTION|PROCEDURE|TYPE) IF EXISTS (\w+)", text)
    if m:
        return ["DELETE FROM fake_objects WHERE name = '%s' AND kind = '%s'" % (m[2], m[1])]
    m = re.match(r"DROP TABLE (IF EXISTS )?(\w+(?:, \w+)+)$", text)
    if m:
        return ["DROP TABLE IF EXISTS " + name for name in m[2].split(", ")]
    m = re.fullmatch(r"CREATE TRIGGER (\w+) ON (\w+) FOR DELETE AS BEGIN SET NOCOUNT ON; (.*); END", text)
    if m:
        return ["CREATE TRIGGER %s AFTER DELETE ON %s FOR EACH ROW BEGIN %s; END" % (
            m[1], m[2], m[3].replace("(SELECT d.log_id FROM deleted AS d)", "(OLD.log_id)"))]
    if text.startswith("MERGE"):
        text = merge(text)
    text = re.sub(r"\bCONVERT\((?:DATETIME2\(6\)|VARCHAR\(26\)), ([@\w.]+), 121\)", r"(\1)", text)
    text = re.sub(r"\bTRY_CAST\((JSON_VALUE\([^)]*\)) AS FLOAT\)", r"try_float(\1)", text)
    text = text.replace(" COLLATE Latin1_General_CI_AS LIKE ", " LIKE ")
    text = re.sub(r"TOP \((\d+)\) (.* ORDER BY l\.(?:timestamp DESC, l\.id DESC|record_id(?: DESC)?|id))",
                  r"\2 LIMIT \1", text)
    text = re.sub(r"\bN'", "'", text)
    return [re.sub(r"\bsys\.(objects|types|tables|columns)\b", r"sys_\1", text)]


def open_database(path):
    db = sqlite3.connect(path, isolation_level=None, timeout=5)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA foreign_keys = ON")
    db.create_function("JSON_VALUE", 2, json_value)
    db.create_function("try_float", 1, try_float)
    db.create_function("utf16_len", 1, utf16_len, deterministic=True)
    db.create_function("SCHEMA_ID", 0, lambda: 1)
    db.execute("CREATE TABLE IF NOT EXISTS fake_objects (name TEXT, kind TEXT, PRIMARY KEY (name, kind))")
    db.execute("CREATE VIEW IF NOT EXISTS sys_objects AS SELECT name, 1 AS schema_id FROM sqlite_master "
               "WHERE type <> 'index' UNION ALL SELECT name, 1 FROM fake_objects WHERE kind <> 'TYPE'")
    db.execute("CREATE VIEW IF NOT EXISTS sys_tables AS SELECT name, 1 AS schema_id, name AS object_id "
               "FROM sqlite_master WHERE type = 'table'")
    db.execute("CREATE VIEW IF NOT EXISTS sys_columns AS SELECT c.name, m.name AS object_id FROM "
               "sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'")
    db.execute("CREATE VIEW IF NOT EXISTS sys_types AS SELECT name, 1 AS schema_id FROM fake_objects "
               "WHERE kind = 'TYPE'")
    return db


def error_of(e, text):
    said = str(e)
    for words, number, severity, answer in (
            ("locked", 1205, 13, "Transaction (Process ID 51) was deadlocked on lock resources with "
             "another process and has been chosen as the deadlock victim. Rerun the transaction."),
            ("FOREIGN KEY", 547, 16, "The statement conflicted with a FOREIGN KEY constraint."),
            ("NOT NULL", 515, 16, "Cannot insert the value NULL into column."),
            ("UNIQUE", 2627, 14, "Violation of UNIQUE KEY constraint. Cannot insert duplicate key."),
            ("CHECK", 2628, 16, "String or binary data would be truncated."),
            ("no such column", 207, 16, "Invalid column name."),
            ("already exists", 2714, 16, "There is already an object of that name in the database.")):
        if words in said:
            return ServerError(number, answer, severity)
    m = re.search(r"no such (?:table|view): (?:main\.)?(\S+)", said)
    if m:
        return ServerError(208, "Invalid object name '%s'." % m[1])
    return ServerError(102, "Incorrect syntax: %s in: %.200s" % (said, text), 15)


# ---- tokens ----


def b_varchar(text):
    return bytes((len(text),)) + text.encode("utf-16-le")


def us_varchar(text):
    return struct.pack("<H", utf16_len(text)) + text.encode("utf-16-le")


def env_change(kind, new, old=b""):
    body = bytes((kind,)) + new + old
    return b"\xe3" + struct.pack("<H", len(body)) + body


def done(token, status, rows=0):
    return bytes((token,)) + struct.pack("<HHQ", status, 0, rows)


def error_token(e):
    body = struct.pack("<iBB", e.number, 1, e.severity) + us_varchar(e.text) + b_varchar("tds")
    body += b_varchar("") + struct.pack("<I", 1)
    return b"\xaa" + struct.pack("<H", len(body)) + body


def column_type(values):
    kinds = {type(v) for v in values if v is not None}
    return "int" if kinds <= {int} else "float" if kinds <= {int, float} else "text"


TYPE_INFO = {"int": b"\x26\x08", "float": b"\x6d\x08", "text": b"\xe7\xff\xff" + COLLATION}


def value_bytes(kind, v):
    if kind == "text":
        if v is None:
            return b"\xff" * 8
        data = (v if isinstance(v, str) else str(v)).encode("utf-16-le")
        chunks = b"".join(struct.pack("<I", len(data[i:i + 8000])) + data[i:i + 8000]
                          for i in range(0, len(data), 8000))
        return struct.pack("<Q", len(data)) + chunks + b"\0\0\0\0"
    if v is None:
        return b"\0"
    return b"\x08" + struct.pack("<q" if kind == "int" else "<d", v)


def rows_token(description, rows):
    kinds = [column_type([r[i] for r in rows]) for i in range(len(description))]
    out = [b"\x81", struct.pack("<H", len(kinds))]
    for kind, column in zip(kinds, description):
        out.append(struct.pack("<IH", 0, 1) + TYPE_INFO[kind] + b_varchar(column[0][:120]))
    for r in rows:
        out.append(b"\xd1")
        out.extend(value_bytes(kind, v) for kind, v in zip(kinds, r))
    return b"".join(out)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise Cut("a request ends within a value")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def more(self):
        return self.at < len(self.data)

    def skip_headers(self):
        self.take(self.number("I") - 4)

    def text(self, n):
        # Strict: half a character is an error of the client.
        return self.take(n).decode("utf-16-le")

    def parameter(self):
        name = self.text(2 * self.number("B"))
        self.number("B")
        return name, self.value()

    def value(self):
        kind = self.number("B")
        if kind in (0x26, 0x6D, 0x68):  # INTN, FLTN, BITN
            self.number("B")
            n = self.number("B")
            if n == 0:
                return None
            if kind == 0x6D:
                return self.number({4: "f", 8: "d"}[n])
            return self.number({1: "B", 2: "h", 4: "i", 8: "q"}[n])
        if kind in (0xE7, 0xEF, 0xA7, 0xAF):  # NVARCHAR, NCHAR, VARCHAR, CHAR
            most = self.number("H")
            self.take(5)
            if most == 0xFFFF:
                data = self.chunks()
            else:
                n = self.number("H")
                data = None if n == 0xFFFF else self.take(n)
        elif kind in (0x63, 0x23):  # NTEXT, TEXT
            self.number("I")
            self.take(5)
            n = self.number("i")
            data = None if n < 0 else self.take(n)
        else:
            raise Cut("type %#x is not one that is sent" % kind)
        if data is None:
            return None
        return data.decode("utf-16-le" if kind in (0xE7, 0xEF, 0x63) else "ascii")

    def chunks(self):
        if self.number("Q") == 0xFFFFFFFFFFFFFFFF:
            return None
        parts = []
        while True:
            n = self.number("I")
            if n == 0:
                return b"".join(parts)
            parts.append(self.take(n))


# ---- a connection ----


class Connection:
    def __init__(self, sock, folder):
        self.sock, self.folder = sock, folder
        self.db, self.prepared, self.size = None, {}, 4096

    def receive(self):
        body = b""
        while True:
            head = self.exact(8)
            kind, status, length = head[0], head[1], struct.unpack(">H", head[2:4])[0]
            body += self.exact(length - 8)
            if status & 1:
                return kind, body

    def exact(self, n):
        data = b""
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise Cut("closed")
            data += part
        return data

    def send(self, body):
        room, out = self.size - 8, []
        for number, at in enumerate(range(0, max(len(body), 1), room)):
            part = body[at:at + room]
            last = at + room >= len(body)
            out.append(struct.pack(">BBHHBB", 4, 1 if last else 0, len(part) + 8, 51,
                                   (number + 1) & 255, 0) + part)
        self.sock.sendall(b"".join(out))

    def run(self):
        try:
            while True:
                kind, body = self.receive()
                if kind == 0x12:
                    self.send(prelogin())
                elif kind == 0x10:
                    self.login(body)
                elif kind == 0x06:
                    self.send(done(0xFD, 0x20))
                elif self.db is None:
                    raise Cut("no login")
                else:
                    self.send(self.request(kind, body))
        except (Cut, OSError):
            pass
        finally:
            if self.db:
                self.db.close()
            self.sock.close()

    def login(self, body):
        def field(at, text=True):
            offset, n = struct.unpack("<HH", body[at:at + 4])
            data = body[offset:offset + 2 * n]
            return data.decode("utf-16-le") if text else data
        user, database = field(40), field(68)
        password = bytes(((c ^ 0xA5) >> 4 | (c ^ 0xA5) << 4) & 0xFF for c in field(44, False))
        error = None
        if user != USER or password.decode("utf-16-le") != PASSWORD:
            error = ServerError(18456, "Login failed for user '%s'." % user, 14)
        elif database and database != DATABASE:
            error = ServerError(4060, 'Cannot open database "%s" requested by the login.' % database, 11)
        if error:
            self.send(error_token(error) + done(0xFD, 2))
            raise Cut("login")
        self.db = open_database(self.folder + "/tds.db")
        name = b_varchar("Microsoft SQL Server")
        ack = b"\x01\x74\x00\x00\x04" + name + bytes((15, 0, 0x10, 0))
        self.send(env_change(1, b_varchar(DATABASE), b_varchar("master")) +
                  env_change(4, b_varchar("4096"), b_varchar("4096")) +
                  env_change(7, b"\x05" + COLLATION, b"\0") +
                  b"\xad" + struct.pack("<H", len(ack)) + ack + done(0xFD, 0))

    def request(self, kind, body):
        r = Reader(body)
        r.skip_headers()
        try:
            if kind == 0x01:
                return self.batch(r.text(len(body) - r.at))
            if kind == 0x03:
                return self.call(r)
            if kind == 0x0E:
                return self.transaction(r)
            raise Cut("packet type %d" % kind)
        except ServerError as e:
            out = error_token(e)
            if e.number == 1205 and self.db.in_transaction:
                self.db.execute("ROLLBACK")
                out += env_change(10, b"\0", b"\x08" + b"\1" * 8)
            return out + done(0xFE if kind == 3 else 0xFD, 2)

    # Statements.

    def strike(self, text):
        path = self.folder + "/fault"
        try:
            with open(path, encoding="utf-8") as f:
                what, _, words = f.read().strip().partition(" ")
        except OSError:
            return None
        if not words or words not in text:
            return None
        os.unlink(path)
        if what == "deadlock":
            raise ServerError(1205, "Transaction (Process ID 51) was deadlocked and is the victim.", 13)
        if what == "full":
            raise ServerError(9002, "The transaction log for database 'bot' is full.", 17)
        if what == "cut":
            raise Cut("on demand")
        return what

    def execute(self, text, values, token):
        fate = self.strike(text)
        out = b""
        try:
            statements = translate(text)
            for i, statement in enumerate(statements):
                cursor = self.db.execute(statement, values)
                status = 0x10 if token == 0xFD and i == len(statements) - 1 else 0x11
                if cursor.description:
                    rows = cursor.fetchall()
                    out += rows_token(cursor.description, rows) + done(token, status, len(rows))
                else:
                    out += done(token, status, max(cursor.rowcount, 0))
        except sqlite3.Error as e:
            raise error_of(e, text) from e
        if fate == "lose":
            raise Cut("on demand")
        return out

    def batch(self, text):
        if re.match(r"(?i)\s*(set|use)\b", text):
            return done(0xFD, 0)
        return self.execute(text, {}, 0xFD)

    def call(self, r):
        n = r.number("H")
        proc = r.number("H") if n == 0xFFFF else r.text(2 * n)
        r.number("H")
        values = []
        while r.more():
            values.append(r.parameter())
        only = [v for _, v in values]
        if proc in (13, "sp_prepexec"):
            handle = self.keep(only[1], only[2])
            out = self.bound(handle, only[3:])
            return out + b"\x79\0\0\0\0" + return_value(handle) + done(0xFE, 0)
        if proc in (11, "sp_prepare"):
            handle = self.keep(only[1], only[2])
            return b"\x79\0\0\0\0" + return_value(handle) + done(0xFE, 0)
        if proc in (12, "sp_execute"):
            if only[0] not in self.prepared:
                raise ServerError(8179, "Could not find prepared statement with handle %s." % only[0])
            return self.bound(only[0], only[1:]) + b"\x79\0\0\0\0" + done(0xFE, 0)
        if proc in (15, "sp_unprepare"):
            self.prepared.pop(only[0], None)
            return b"\x79\0\0\0\0" + done(0xFE, 0)
        if proc in (10, "sp_executesql"):
            handle = self.keep(only[1] if len(only) > 1 else "", only[0])
            out = self.bound(handle, only[2:])
            return out + b"\x79\0\0\0\0" + done(0xFE, 0)
        raise ServerError(2812, "Could not find stored procedure '%s'." % proc)

    def keep(self, declared, text):
        names = re.findall(r"(@\w+) (\w+)", declared or "")
        handle = len(self.prepared) + 1
        self.prepared[handle] = (names, text)
        return handle

    def bound(self, handle, values):
        names, text = self.prepared[handle]
        if len(names) != len(values):
            raise ServerError(8178, "The parameterized query expects %d parameters." % len(names))
        if len(values) > 2100:
            raise ServerError(8003, "Too many parameters were provided in this RPC request.")
        for (name, kind), v in zip(names, values):
            wants = (int if kind.upper().endswith("INT") else float if kind.upper() in ("FLOAT", "REAL")
                     else str)
            if v is not None and not isinstance(v, wants):
                raise ServerError(206, "Operand type clash at %s: %s is no %s." % (name, v, kind))
        return self.execute(text, {name[1:]: v for (name, _), v in zip(names, values)}, 0xFF)

    def transaction(self, r):
        kind, out, fate = r.number("H"), b"", None
        try:
            if kind == 5:
                if not self.db.in_transaction:
                    self.db.execute("BEGIN")
                return env_change(8, b"\x08" + b"\1" * 8, b"\0") + done(0xFD, 0)
            if kind == 7:
                fate = self.strike("COMMIT")
                if self.db.in_transaction:
                    self.db.execute("COMMIT")
                out = env_change(9, b"\0", b"\x08" + b"\1" * 8)
            elif kind == 8:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                out = env_change(10, b"\0", b"\x08" + b"\1" * 8)
            else:
                raise Cut("transaction request %d" % kind)
            if fate == "lose":
                raise Cut("on demand")
            r.take(r.number("B"))
            if r.number("B") & 1:
                self.db.execute("BEGIN")
                out += env_change(8, b"\x08" + b"\1" * 8, b"\0")
        except sqlite3.Error as e:
            raise error_of(e, "transaction") from e
        return out + done(0xFD, 0)


def return_value(handle):
    return (b"\xac" + struct.pack("<H", 0) + b_varchar("") + b"\x01" + struct.pack("<IH", 0, 0) +
            b"\x26\x04\x04" + struct.pack("<i", handle))


def prelogin():
    options = ((0, bytes((15, 0, 0x10, 0, 0, 0))), (1, b"\x02"), (2, b"\0"), (4, b"\0"))
    head, data, at = b"", b"", 5 * len(options) + 1
    for number, value in options:
        head += struct.pack(">BHH", number, at + len(data), len(value))
        data += value
    return head + b"\xff" + data


def main():
    folder = sys.argv[1]
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    open_database(folder + "/tds.db").close()
    listener.listen()
    with open(folder + "/port.new", "w", encoding="ascii") as f:
        f.write("%d\n" % listener.getsockname()[1])
    os.rename(folder + "/port.new", folder + "/port")
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Connection(sock, folder).run, daemon=True).start()


main()
