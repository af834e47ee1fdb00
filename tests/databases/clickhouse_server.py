"""ClickHouse's engine behind its HTTP interface: ``python -m tests.databases.clickhouse_server PORT FOLDER``.

No package brings a ClickHouse server of today, but ``chdb`` brings its engine. This puts the real engine, on a
directory, behind as much of the HTTP interface as clickhouse-connect asks for. It translates, and decides nothing that
the engine decides: each request is a session of its own there, with the settings, the parameters and the database that
it names; what comes back, rows or an error, is the engine's. What a server sees to before its engine is done here: the
user and the password (``SHOP_LOGIN``, with a colon between them), the length of a value (as the engine's setting
says), and that a GET changes nothing.

What it cannot show: asynchronous inserts run at once and by themselves; there is no replica (for shards see
:mod:`tests.databases.clickhouse_cluster`); blocks come without the block info that a server sends to clients of this
version; and a statement goes on whose client has left.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame

# Of the query string what is no setting, and ``param_…``.
TRANSPORT = {"query", "database", "user", "password", "query_id", "session_id", "wait_end_of_query"}
TRANSPORT |= {"client_protocol_version", "default_format", "compress", "decompress", "buffer_size", "quota_key"}

INSERT = re.compile(rb"\s*(INSERT\s+INTO\s[^'\0]*?)\sFORMAT\s+(\w+)[ \t]*\r?\n", re.IGNORECASE)
"""What stands before data that is not a part of the statement."""
FORMAT = re.compile(r"\sFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)

# As ClickHouse has them; 500 for the others.
STATUSES = {194: 401, 192: 403, 193: 403, 497: 403, 516: 403, 159: 408, 48: 501, 209: 503, 439: 503}
STATUSES |= dict.fromkeys((6, 25, 26, 27, 36, 38, 41, 53, 62, 72, 117, 321), 400)
STATUSES |= dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115, 511), 404)

CONFIG = """
    <clickhouse>
        <user_directories><users_xml><path>{users}</path></users_xml></user_directories>
        {more}
    </clickhouse>
"""
USERS = """
    <clickhouse>
        <profiles><default>{profile}</default></profiles>
        <quotas><default/></quotas>
        <users><default>
            <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
            <databases>{databases}</databases>
            <grants>{granted}</grants>
        </default></users>
    </clickhouse>
"""
# README says that a user needs the first four. The others are for the door, which gives what is inserted as a file, and
# names the database by a statement.
RIGHTS = (
    "ALL ON shop_*.*",
    "SELECT ON system.processes",
    "SELECT ON system.parts",
    "SELECT ON system.disks",
    "READ ON FILE",
    "SHOW DATABASES ON *.*",
)

PACKERS = {"lz4": lz4.frame.compress, "gzip": gzip.compress}
UNPACKERS = {"lz4": lz4.frame.decompress, "gzip": gzip.decompress}


class Answer(NamedTuple):
    """Of the engine."""

    body: bytes = b""
    format: str | None = None
    """``None`` where the statement gives no rows."""
    summary: Mapping[str, str] = {}


class Refused(Exception):
    """The engine's error, or that of the door."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        found = re.search(r"Code: (\d+)", told)
        self.code = int(found[1]) if found else 1002  # UNKNOWN_EXCEPTION


class Engine:
    """The engine on a directory, which is this process's alone.

    Args:
        folder: for its data, and for what is being inserted.
    """

    config = ""
    """More of its configuration, in XML."""
    profile = ""
    """Settings of its user, in the same way."""
    databases = ""
    """What its user sees of databases, in the same way."""
    rights: Sequence[str] = ()
    """What its user may besides."""

    def __init__(self, folder: Path) -> None:
        config, users = folder / "config.xml", folder / "users.xml"
        config.write_text(CONFIG.format(users=users, more=self.config), encoding="utf-8")
        granted = "".join(f"<query>GRANT {right}</query>" for right in (*RIGHTS, *self.rights))
        users.write_text(
            USERS.format(profile=self.profile, databases=self.databases, granted=granted), encoding="utf-8"
        )
        self._data = f"{folder / 'data'}?config-file={config}"
        self._incoming = folder / "incoming"
        self._incoming.mkdir(exist_ok=True)
        self._kept = chdb.connect(self._data)  # with the last connection the engine would end

    def run(self, text: bytes, settings: Mapping[str, str], values: Mapping[str, str], database: str) -> Answer:
        """Execute a statement, with what it inserts behind it, in a session of its own."""
        with closing(chdb.connect(self._data)) as session:
            try:
                session.query("USE `{}`".format(database.replace("`", "``")))
                if settings:
                    session.query("SET " + ", ".join(f"{_name(name)} = {_text(settings[name])}" for name in settings))
                inserting = INSERT.match(text)
                if inserting is not None:
                    return self._insert(session, inserting[1].decode(), inserting[2].decode(), text[inserting.end() :])
                return self.ask(session, text.decode(), values)
            except RuntimeError as error:  # chdb has no other
                raise Refused(str(error)) from error

    def ask(self, session: Any, text: str, values: Mapping[str, str]) -> Answer:
        """Execute a statement that has its values with it."""
        asked = FORMAT.search(text)
        # With names, so that no rows are not the same as nothing to give rows of.
        done = session.query(text, "TabSeparatedWithNames", params=dict(values))
        body = done.bytes()
        if asked is not None:
            return Answer(body, asked[1], _read(done))
        names, _, rows = body.partition(b"\n")
        return Answer(rows, "TabSeparated" if names else None, _read(done))

    def _insert(self, session: Any, into: str, kind: str, data: bytes) -> Answer:
        """Through a file: a statement is text, and what is inserted need not be."""
        with tempfile.NamedTemporaryFile(dir=self._incoming) as file:
            file.write(data)
            file.flush()
            done = session.query(f"{into} FROM INFILE {_text(file.name)} FORMAT {kind}")
        written = {"written_rows": str(done.rows_read()), "written_bytes": str(done.bytes_read())}
        return Answer(summary={**_read(done), **written})


def _read(done: Any) -> dict[str, str]:
    elapsed = str(int(done.elapsed() * 1e9))
    return {"read_rows": str(done.rows_read()), "read_bytes": str(done.bytes_read()), "elapsed_ns": elapsed}


def _name(setting: str) -> str:
    if re.fullmatch(r"\w+", setting) is None:
        raise Refused(f"Code: 115. DB::Exception: Unknown setting {setting!r}. (UNKNOWN_SETTING)")
    return setting


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Door(BaseHTTPRequestHandler):
    """One connection. It stays open, as the server's do."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 10  # seconds that it is kept without a request
    engine: Engine
    login: str
    version: str
    longest: int

    def do_GET(self) -> None:
        """Read, and change nothing: ClickHouse has it so."""
        self._serve(readonly=True)

    def do_POST(self) -> None:
        """Read or write."""
        self._serve(readonly=False)

    def _serve(self, *, readonly: bool) -> None:
        body = self._body()  # all of it, or the next request would begin with the rest
        url = urlsplit(self.path)
        if readonly and not url.query:
            self._answer(200, b"Ok.\n")  # /ping
            return
        given = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            if self.headers.get_content_type() == "multipart/form-data":
                given |= _form(self.headers, body)
                body = b""
            answer = self._ask(given, body, readonly=readonly)
        except Refused as refused:
            told = f"{refused} (version {self.version} (official build))\n".encode()
            named = {"X-ClickHouse-Exception-Code": str(refused.code)}
            self._answer(STATUSES.get(refused.code, 500), told, named)
            return
        named = {} if answer.format is None else {"X-ClickHouse-Format": answer.format}
        named["X-ClickHouse-Summary"] = json.dumps(answer.summary)
        self._answer(200, answer.body, named, packed=given.get("enable_http_compression") == "1")

    def _ask(self, given: Mapping[str, str], body: bytes, *, readonly: bool) -> Answer:
        self._check(given)
        if any(len(value.encode()) > self.longest for value in given.values()):
            raise Refused("Code: 1000. DB::Exception: HTML Form Exception: Field value too long. (POCO_EXCEPTION)")
        values = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
        settings = {
            name: value for name, value in given.items() if name not in TRANSPORT and not name.startswith("param_")
        }
        if readonly:
            settings["readonly"] = "2"
        database = given.get("database") or self.headers.get("X-ClickHouse-Database") or "default"
        return self.engine.run(
            b"\n".join(filter(None, (given.get("query", "").encode(), body))), settings, values, database
        )

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                chunks.append(self._exactly(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(chunks)
        else:
            body = self._exactly(int(self.headers.get("Content-Length", 0)))
        encoding = self.headers.get("Content-Encoding")
        return body if encoding is None else UNPACKERS[encoding](body)

    def _exactly(self, size: int) -> bytes:
        found = self.rfile.read(size)
        if len(found) < size:
            raise ConnectionError("the client left within its request")
        return found

    def _check(self, given: Mapping[str, str]) -> None:
        kind, _, words = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            login = base64.b64decode(words).decode()
        else:
            user = self.headers.get("X-ClickHouse-User") or given.get("user", "default")
            login = f"{user}:{self.headers.get('X-ClickHouse-Key') or given.get('password', '')}"
        if login != self.login:
            user = login.partition(":")[0]
            raise Refused(
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no user "
                "with such name. (AUTHENTICATION_FAILED)"
            )

    def _answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, *, packed: bool = False
    ) -> None:
        encodings = [each.strip() for each in self.headers.get("Accept-Encoding", "").split(",")]
        encoding = next((each for each in encodings if each in PACKERS), None) if packed and body else None
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("X-ClickHouse-Timezone", "UTC")
        if encoding is not None:
            body = PACKERS[encoding](body)
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _form(headers: Message, body: bytes) -> dict[str, str]:
    """The fields of a form, which is what a client sends whose parameters are too long for a URL."""
    whole = BytesParser().parsebytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body)
    return {
        str(part.get_param("name", header="Content-Disposition")): part.get_payload(decode=True).decode()
        for part in whole.get_payload()
    }


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 128


def main(kind: type[Engine] = Engine) -> None:
    """Serve until the process is ended."""
    port, folder = sys.argv[1:]
    Door.engine = kind(Path(folder))
    Door.login = os.environ["SHOP_LOGIN"]
    told = Door.engine.run(b"SELECT version(), getSetting('http_max_field_value_size')", {}, {}, "default")
    Door.version, longest = told.body.decode().split()
    Door.longest = int(longest)
    Server(("127.0.0.1", int(port)), Door).serve_forever()


if __name__ == "__main__":
    main()
