"""What needs no server: the price of a request that is not ours, and of a table that has grown."""

from __future__ import annotations

import sqlite3
import statistics
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.bench.apps.empty import empty_asgi, empty_wsgi
from tk_analytics_mw import Analytics, Event
from tk_analytics_mw.delivery import BATCH
from tk_analytics_mw.identifiers import new_event_id
from tk_analytics_mw.storage.rows import COLUMNS, row_of
from tk_analytics_mw.storage.sqlite import SqliteStorage

CALLS = 20_000
COMMIT = 64  # events: what 64 connections bring together
COMMITS = 100
DELIVERIES = 10_000


def pass_through(rounds: int) -> dict[str, float]:
    """Microseconds that a request for the host costs more with us in front, by protocol."""
    analytics = Analytics()
    scope = {"type": "http", "path": "/products/lounge-chair", "root_path": "", "method": "GET", "headers": []}
    environ = {"PATH_INFO": "/products/lounge-chair", "SCRIPT_NAME": "", "REQUEST_METHOD": "GET"}

    async def send(message: Any) -> None: ...

    def asgi(app: Callable[..., Any]) -> Callable[[], None]:
        def call() -> None:
            with suppress(StopIteration):
                app(scope, None, send).send(None)

        return call

    def wsgi(app: Callable[..., Any]) -> Callable[[], None]:
        return lambda: app(environ, lambda status, headers: None)

    pairs = {
        "ASGI": (asgi(empty_asgi), asgi(analytics.asgi(empty_asgi))),
        "WSGI": (wsgi(empty_wsgi), wsgi(analytics.wsgi(empty_wsgi))),
    }
    costs = {}
    for name, (without, with_us) in pairs.items():
        # CPU time: whoever else has the machine meanwhile is not of interest.
        times = [
            tuple(timeit.timeit(call, timer=time.process_time, number=CALLS) for call in (without, with_us))
            for _ in range(rounds)
        ]
        difference = statistics.median(later - first for first, later in times)
        costs[name] = difference / CALLS * 1e6
    return costs


def growth(folder: Path, rows: int, rounds: int) -> float:
    """Events a second that one thread writes into a table with ``rows``, for each into an empty one."""
    small = SqliteStorage(folder / "small.db")
    large = SqliteStorage(folder / "large.db")
    filler = SqliteStorage(folder / "large.db", durability="relaxed")
    for _ in range(rows // 5_000):
        filler.write(list(_events(5_000)))
    filler.close()
    return _ratio(small, large, rounds)


def kept_counted(folder: Path, rounds: int) -> float:
    """Events a second that one thread writes, for each without the triggers that keep what is counted right."""
    bare = SqliteStorage(folder / "bare_of_triggers.db")
    bare.write([])
    with closing(sqlite3.connect(bare.path)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
    return _ratio(bare, SqliteStorage(folder / "counted.db"), rounds)


def _ratio(one: SqliteStorage, other: SqliteStorage, rounds: int) -> float:
    """How fast one thread writes into the other one, for each event into the one. Both are closed."""
    ratios = []
    for _ in range(rounds):
        seconds = {one: 0.0, other: 0.0}
        for _ in range(COMMITS):
            for storage in seconds:  # one commit each in turn: the disk is not the same for long
                batch = list(_events(COMMIT))
                seconds[storage] += timeit.timeit(lambda s=storage, b=batch: s.write(b), number=1)
        ratios.append(seconds[one] / seconds[other])
    one.close()
    other.close()
    return statistics.median(ratios)


def deliveries(folder: Path, rounds: int) -> tuple[float, float]:
    """Deliveries a second that one deliverer makes, and rows a second of bare ``sqlite3`` inserts of its batches."""
    analytics = Analytics(storage=SqliteStorage(folder / "deliveries.db"))
    analytics.on(durable=True, name="bench")(lambda event, delivery: None)
    outbox_rates, bare_rates = [], []
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    bare.execute(f"CREATE TABLE events ({', '.join(COLUMNS)}, PRIMARY KEY (id))")
    insert = f"INSERT INTO events VALUES ({', '.join('?' * len(COLUMNS))})"
    for _ in range(rounds):
        for _ in range(DELIVERIES // 500):
            analytics.find_parts().writes.write(list(_events(500)))
        outbox_rates.append(DELIVERIES / timeit.timeit(lambda: analytics.deliver(once=True), number=1))
        rows = [[row_of(event) for event in _events(BATCH)] for _ in range(DELIVERIES // BATCH)]

        def insert_all(rows: list[list[Any]] = rows) -> None:
            for batch in rows:
                bare.execute("BEGIN IMMEDIATE")
                bare.executemany(insert, batch)
                bare.execute("COMMIT")

        bare_rates.append(DELIVERIES / timeit.timeit(insert_all, number=1))
    bare.close()
    analytics.close()
    return statistics.median(outbox_rates), statistics.median(bare_rates)


def _events(number: int) -> Iterator[Event]:
    common = {
        "event_type": "product cart-add",
        "spelling": "product cart-add",
        "org_id": "acme",
        "asset_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "configuration": {"Fabric": "Blue", "Size": "L"},
        "event_metadata": {"campaign": "spring"},
        "device": "PC / Windows 10 / Firefox 140.0",
        "created_at": datetime.now(timezone.utc),
    }
    for _ in range(number):
        yield Event.model_construct(**common, id=new_event_id()[0], session_id=new_event_id()[0])
