"""A request that is cancelled while its event waits or is written takes nobody with it.

A server or a framework's timeout may cancel a request's task at any moment.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.hosts.asgi_faces import asgi_shop, exchange, reply_of, scope_of
from tests.hosts.base import EVENTS, PRIVATE, an_event, default_options
from tests.servers.running import PATIENCE, stored_ids
from tk_analytics_mw import Analytics, Event
from tk_analytics_mw.storage.sqlite import SqliteStorage

AS_SERVER = [("Authorization", f"Bearer {PRIVATE}"), ("Host", "shop.test")]
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Gated:
    """Keeps events in SQLite; its first write begins, and goes on when the test says so."""

    def __init__(self, path: Path) -> None:
        self._storage = SqliteStorage(path)
        self.began = threading.Event()
        self.gate = threading.Event()
        self.batches: list[list[str | None]] = []

    def write(self, events: Sequence[Event]) -> Sequence[Event] | None:
        self.batches.append([event.user_id for event in events])
        self.began.set()
        assert self.gate.wait(PATIENCE), "the test never opened the gate"
        return self._storage.write(events)

    def close(self) -> None:
        self._storage.close()


class Clients:
    """Requests as tasks, each of which can be cancelled."""

    def __init__(self, analytics: Analytics, tasks: anyio.abc.TaskGroup) -> None:
        self._app = analytics.asgi(asgi_shop)
        self._tasks = tasks
        self._scopes: dict[str, anyio.CancelScope] = {}
        self.statuses: dict[str, int] = {}
        self.ids: dict[str, str] = {}
        self.ended: set[str] = set()

    def send(self, *names: str) -> None:
        for name in names:
            self._tasks.start_soon(self._one, name)

    async def _one(self, name: str) -> None:
        body = json.dumps(an_event(userId=name)).encode()
        try:
            with anyio.CancelScope() as self._scopes[name]:
                incoming = [{"type": "http.request", "body": body}]
                reply = reply_of(await exchange(self._app, scope_of("POST", EVENTS, "", AS_SERVER), incoming))
                self.statuses[name] = reply.status
                self.ids[name] = reply.json["id"]
        finally:
            self.ended.add(name)

    async def cancel(self, *names: str) -> None:
        """Cancel them, and wait until they are gone: while others still write."""
        for name in names:
            self._scopes[name].cancel()
        await until(lambda: set(names) <= self.ended)


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(PATIENCE):
        while not condition():
            await anyio.sleep(0.002)


def run(backend: str, tmp_path: Path, scenario: Callable[[Clients, Gated], Any]) -> tuple[Clients, Gated]:
    """Run a scenario on one event loop. The gate is open when it has ended, however it ends."""
    storage = Gated(tmp_path / "analytics.db")
    analytics = Analytics(storage=storage, **default_options())

    async def main() -> Clients:
        async with anyio.create_task_group() as tasks:
            clients = Clients(analytics, tasks)
            try:
                await scenario(clients, storage)
            finally:
                storage.gate.set()
        return clients

    try:
        return anyio.run(main, backend=backend), storage
    finally:
        analytics.close()


def whole_rows(path: Path) -> dict[str, str]:
    """User and id of every row, checked to be whole."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT user_id, id, event_type, org_id, session_id, metric FROM events").fetchall()
    assert all(row[2:] == ("product cart-add", "acme", "session-1", 1.0) for row in found)
    assert len({row[0] for row in found}) == len(found)
    return {row[0]: row[1] for row in found}


@BACKENDS
def test_a_request_that_is_cancelled_while_its_batch_is_written_takes_nobody_with_it(
    tmp_path: Path, backend: str
) -> None:
    async def scenario(clients: Clients, storage: Gated) -> None:
        clients.send("first", "cancelled", "third")
        await until(storage.began.is_set)
        assert len(storage.batches[0]) == 3, "the three are one batch"
        await clients.cancel("cancelled")
        assert clients.statuses == {}, "the batch is still being written"
        clients.send("later")

    clients, _ = run(backend, tmp_path, scenario)
    assert clients.statuses == {"first": 200, "third": 200, "later": 200}
    rows = whole_rows(tmp_path / "analytics.db")
    # Negative control: the cancelled one was in the batch, so it is stored; nothing undoes a write.
    assert set(rows) == {"first", "cancelled", "third", "later"}
    assert clients.ids.items() <= rows.items()


@BACKENDS
def test_a_request_that_is_cancelled_in_the_queue_does_not_block_it(tmp_path: Path, backend: str) -> None:
    async def scenario(clients: Clients, storage: Gated) -> None:
        clients.send("first")
        await until(storage.began.is_set)
        waiting = [f"waiting-{number}" for number in range(10)]
        clients.send(*waiting)
        await anyio.wait_all_tasks_blocked() if backend == "trio" else await anyio.sleep(0.05)
        await clients.cancel(*waiting[::2])
        clients.send("later")

    clients, storage = run(backend, tmp_path, scenario)
    answered = {"first", "later", *(f"waiting-{number}" for number in range(1, 10, 2))}
    assert clients.statuses == dict.fromkeys(answered, 200)
    rows = whole_rows(tmp_path / "analytics.db")
    assert clients.ids.items() <= rows.items()
    assert set(rows) <= {"first", "later", *(f"waiting-{number}" for number in range(10))}
    # Negative control: they did wait, behind the first one, and in one batch.
    assert storage.batches[0] == ["first"]
    assert len(storage.batches) <= 3


@BACKENDS
def test_the_request_that_began_the_batch_may_be_cancelled_too(tmp_path: Path, backend: str) -> None:
    """If its own task wrote the batch, cancelling it would leave all others without an answer."""

    async def scenario(clients: Clients, storage: Gated) -> None:
        clients.send("first")
        await until(storage.began.is_set)
        clients.send("second")
        await clients.cancel("first")
        clients.send("third")

    clients, _ = run(backend, tmp_path, scenario)
    assert clients.statuses == {"second": 200, "third": 200}
    assert set(whole_rows(tmp_path / "analytics.db")) == {"first", "second", "third"}


@BACKENDS
def test_when_all_are_cancelled_the_next_one_is_served(tmp_path: Path, backend: str) -> None:
    async def scenario(clients: Clients, storage: Gated) -> None:
        clients.send("first", "second")
        await until(storage.began.is_set)
        clients.send("third")
        await anyio.sleep(0.02)
        await clients.cancel("first", "second", "third")
        storage.gate.set()
        clients.send("later")
        await until(lambda: "later" in clients.ended)

    clients, _ = run(backend, tmp_path, scenario)
    assert clients.statuses == {"later": 200}
    assert clients.ids["later"] in stored_ids(tmp_path / "analytics.db")


@BACKENDS
def test_a_loop_that_ends_while_it_writes_leaves_a_storage_that_the_next_loop_can_use(
    tmp_path: Path, backend: str
) -> None:
    storage = Gated(tmp_path / "analytics.db")
    analytics = Analytics(storage=storage, **default_options())

    async def leave_in_the_middle() -> None:
        async with anyio.create_task_group() as tasks:
            clients = Clients(analytics, tasks)
            clients.send("first", "second")
            await until(storage.began.is_set)
            threading.Timer(0.05, storage.gate.set).start()
            tasks.cancel_scope.cancel()

    async def come_back() -> dict[str, int]:
        async with anyio.create_task_group() as tasks:
            clients = Clients(analytics, tasks)
            clients.send("later")
        return clients.statuses

    anyio.run(leave_in_the_middle, backend=backend)
    assert anyio.run(come_back, backend=backend) == {"later": 200}
    assert "later" in whole_rows(tmp_path / "analytics.db")
    analytics.close()
