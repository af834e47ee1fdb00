"""Real servers in processes of their own, and clients that keep account of what was acknowledged."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.servers.names import EVENTS, ORGANISATION, PLAIN_TYPE, TOKEN

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
"""Seconds to wait for what takes a moment on an idle machine."""

BATCH_SIZE = 5


def wait_until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until something is true, and say ``what`` if it never is."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(0.01)


@dataclass(frozen=True)
class Kind:
    """A server with its options."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_asgi(self) -> bool:
        return self.command[-1].endswith(":asgi")


def _gunicorn(name: str, *options: str, **environment: str) -> Kind:
    command = (
        "gunicorn",
        "--bind",
        "127.0.0.1:{port}",
        "--config",
        "python:tests.servers.gunicorn_options",
        *options,
        "tests.servers.apps:wsgi",
    )
    return Kind(name, command, environment)


def _uvicorn(name: str, *options: str) -> Kind:
    command = ("uvicorn", "--port", "{port}", "--log-level", "warning", *options, "tests.servers.apps:asgi")
    return Kind(name, command)


def _hypercorn(name: str, *options: str) -> Kind:
    return Kind(name, ("hypercorn", "--bind", "127.0.0.1:{port}", *options, "tests.servers.apps:asgi"))


GUNICORN_SYNC = _gunicorn("gunicorn_sync", "--workers", "2")
GUNICORN_THREADS = _gunicorn("gunicorn_gthread", "--worker-class", "gthread", "--workers", "2", "--threads", "8")
GUNICORN_PRELOAD = _gunicorn(
    "gunicorn_preload",
    *("--preload", "--worker-class", "gthread", "--workers", "4", "--threads", "4"),
    SHOP_EARLY_START="1",
)
UVICORN_WORKERS = _uvicorn("uvicorn_workers", "--workers", "2")
UVICORN_H11 = _uvicorn("uvicorn_h11", "--loop", "asyncio", "--http", "h11")
HYPERCORN_TRIO = _hypercorn("hypercorn_trio", "--worker-class", "trio")
HYPERCORN_ASYNCIO = _hypercorn("hypercorn_asyncio", "--worker-class", "asyncio")

KINDS = (
    GUNICORN_SYNC,
    GUNICORN_THREADS,
    GUNICORN_PRELOAD,
    UVICORN_WORKERS,
    UVICORN_H11,
    HYPERCORN_TRIO,
    HYPERCORN_ASYNCIO,
)


class Server:
    """One server process with its workers, started.

    Args:
        kind: which one.
        directory: for its database and its log.
        options: of ``Analytics``, as far as JSON can say them.
        environment: further variables.
    """

    def __init__(self, kind: Kind, directory: Path, **options: Any) -> None:
        self.kind = kind
        self.database = directory / "analytics.db"
        self.hook_log = directory / "hooks.log"
        self._log = directory / "server.log"
        self._options = options
        for _ in range(3):  # another process may take the port before the server does
            self.port = free_port()
            self._process = self._start()
            if self._answers():
                return
        raise AssertionError(f"{kind.name} does not start:\n{self.log}")

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TK_ANALYTICS_", "SHOP_"))},
            "SHOP_DATABASE": str(self.database),
            "SHOP_OPTIONS": json.dumps(self._options),
            "SHOP_HOOK_LOG": str(self.hook_log),
            **self.kind.environment,
        }
        command = [sys.executable, "-m", *(part.format(port=self.port) for part in self.kind.command)]
        with self._log.open("ab") as log:
            # A session of its own, so that a signal to the group reaches the workers and nobody else.
            return subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _answers(self) -> bool:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                if self.request("GET", "/api/analytics/healthcheck").status == 200:
                    return True
            time.sleep(0.02)
        self.kill()
        return False

    @property
    def log(self) -> str:
        """What it wrote to its standard streams."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def terminate(self) -> int:
        """Ask it to end, wait until it has, and give its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(PATIENCE)
        finally:
            self.kill()

    def kill(self) -> None:
        """``kill -9`` for all of its processes. Nothing of it listens any longer when this returns."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        wait_until(lambda: not self._listens(), "the last worker is dead")

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def connect(self) -> http.client.HTTPConnection:
        """A connection that stays open between requests."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def request(self, method: str, path: str, **more: Any) -> Answer:
        """Send one request over a connection of its own."""
        with closing(self.connect()) as connection:
            return exchange(connection, method, path, **more)

    def post(self, body: Any = None, *, path: str = EVENTS, headers: Mapping[str, str] | None = None) -> Answer:
        """Send an event, or what is given as one."""
        return self.request("POST", path, body=json.dumps(body or an_event()), headers={**AS_SERVER, **(headers or {})})

    def finished_hooks(self) -> str:
        """The ids of the events whose slow hook has ended."""
        return self.hook_log.read_text(encoding="ascii") if self.hook_log.exists() else ""

    def stored(self) -> list[str]:
        """The ids on disk, read over a connection of the test's own."""
        if not self.database.exists():
            return []
        return stored_ids(self.database)


AS_SERVER = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


def an_event(**changes: Any) -> dict[str, Any]:
    """The smallest valid body, with ``changes``."""
    return {"eventType": PLAIN_TYPE, "orgId": ORGANISATION, "sessionId": "session-1", **changes}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def acknowledged(self) -> list[str]:
        """Ids of the events that it says are stored."""
        if self.status != 200:
            return []
        answer = self.json
        if "results" not in answer:
            return [answer["id"]]
        return [result["event"]["id"] for result in answer["results"] if result["status"] == 200]


def exchange(connection: http.client.HTTPConnection, method: str, path: str, **more: Any) -> Answer:
    """Send a request and read its answer to the end."""
    connection.request(method, path, **more)
    with connection.getresponse() as response:
        return Answer(response.status, response.headers, response.read())


def stored_ids(database: Path) -> list[str]:
    """The ids of all rows, in the order of their storing."""
    with closing(sqlite3.connect(database, timeout=PATIENCE)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM events ORDER BY rowid")]


def integrity(database: Path) -> str:
    """What SQLite thinks of the file: ``ok``, or what is wrong."""
    with closing(sqlite3.connect(database, timeout=PATIENCE)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(kind: Kind, directory: Path, **options: Any) -> Iterator[Server]:
    """Start a server; kill what is left of it in the end."""
    server = Server(kind, directory, **options)
    try:
        yield server
    finally:
        if server.is_running:
            server.terminate()


class Load:
    """Clients that send as fast as they are answered, from entering the block to leaving it.

    Every fourth request is a batch. A connection that breaks is opened again: what it carried was not
    acknowledged.

    Args:
        server: to whom.
        clients: threads, each with a connection.
    """

    def __init__(self, server: Server, clients: int = 8) -> None:
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]
        self.acknowledged: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.broken = 0

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"a client still waits for its answer:\n{self._server.log}"

    def wait_for(self, events: int) -> None:
        """Wait until so many events are acknowledged."""
        wait_until(lambda: len(self.acknowledged) >= events, f"{events} acknowledged, now {len(self.acknowledged)}")

    def _client(self) -> None:
        single = json.dumps(an_event())
        batch = json.dumps({"events": [an_event() for _ in range(BATCH_SIZE)]})
        with closing(self._server.connect()) as connection:
            number = 0
            while not self._stop.is_set():
                number += 1
                path, body = (f"{EVENTS}/batch", batch) if number % 4 == 0 else (EVENTS, single)
                try:
                    answer = exchange(connection, "POST", path, body=body, headers=AS_SERVER)
                except (OSError, http.client.HTTPException):
                    connection.close()
                    self.broken += 1
                    self._stop.wait(0.01)
                    continue
                self.statuses[answer.status] += 1
                self.acknowledged.extend(answer.acknowledged)
