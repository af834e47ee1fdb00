"""Erasing: what goes, what stays, what is left on the disk."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.unit.making import an_event
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import first_event_id
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.erasure import Erased, Subject
from tk_analytics_mw.storage.outbox import DeliveryQuery, Subscription
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.storage.sqlite import erasure as sqlite_erasure
from tk_analytics_mw.storage.sqlite.postings import SEGMENT, Postings, _key
from tk_analytics_mw.upkeep import FEWEST, LOOK_EVERY, Retention

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
DUE = [Subscription("mail"), Subscription("stock", frozenset({"product ordered"}))]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SqliteStorage]:
    made = SqliteStorage(tmp_path / "analytics.db")
    yield made
    made.close()


def at(moment: datetime, number: int = 0, **fields: Any) -> Event:
    """An event of this moment; the number tells those of one moment apart."""
    id_ = f"{first_event_id(moment)[:-12]}{number:012x}"
    return an_event(id_, created_at=moment, **fields)


def ids(storage: SqliteStorage) -> list[str]:
    with storage._connections.reading() as snapshot:
        return [row[0] for row in snapshot.execute("SELECT id FROM events ORDER BY position")]


def erase(storage: SqliteStorage, **subject: str) -> Erased:
    return sum((step.erased for step in storage.erasure.erase(Subject(**subject))), Erased())


def deliveries(storage: SqliteStorage) -> list[tuple[str, str]]:
    return sorted((row.name, row.event_id) for row in storage.outbox.find(DeliveryQuery(), limit=1000))


@pytest.mark.parametrize("given", [{}, {"user_id": "a", "session_id": "b"}, {"org_id": "acme"}])
def test_a_subject_is_a_user_or_a_session(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Subject(**given)


def test_slices_join_without_a_gap(storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_erasure, "SCAN", 7)
    monkeypatch.setattr(sqlite_erasure, "SLICE", 2)
    monkeypatch.setattr(sqlite_erasure, "_VALUES", 3)
    storage.write([an_event(f"e-{number}", user_id="jane" if number % 3 else "joe") for number in range(50)], DUE)
    steps = list(storage.erasure.erase(Subject(user_id="jane")))
    assert [step.done for step in steps] == [*range(7, 50, 7), 50]
    assert sum((step.erased for step in steps), Erased()) == Erased(events=33, deliveries=66)
    assert len(ids(storage)) == 17


def test_the_position_of_one_that_has_gone_is_given_to_no_other(storage: SqliteStorage) -> None:
    """Who reads on from a position misses nothing, and what was found of the old one is not taken for the new one."""
    storage.write([an_event("e-1"), an_event("e-2", user_id="jane")])
    last = storage.reader.last_position()
    list(storage.erasure.erase(Subject(user_id="jane")))
    storage.write([an_event("e-3")])
    assert (last, storage.reader.last_position()) == (2, 3)


def test_nothing_of_an_erased_user_is_left_on_the_disk(storage: SqliteStorage) -> None:
    secret = f"user-{uuid.uuid4().hex}"
    for batch in range(40):
        events = [
            an_event(
                f"e-{batch}-{number}",
                user_id=secret if number % 5 == 0 else f"user-{uuid.uuid4().hex}",
                session_id=f"{secret if number % 5 == 0 else 'session'}-{batch}-{number}",
                event_metadata={"note": f"{secret} wrote this" if number % 5 == 0 else "x" * 300},
                idempotency_key=f"{secret}-{batch}-{number}" if number % 5 == 0 else None,
            )
            for number in range(50)
        ]
        storage.write(events, DUE)
    assert grep(storage.path, secret) > 400, "the control: it is there before"
    assert erase(storage, user_id=secret).events == 400
    assert storage.erasure.finish()
    assert grep(storage.path, secret) == 0


def test_nothing_tells_that_an_erased_user_was_there(storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_erasure, "SWEEP", 100)
    events = [
        an_event(f"e-{number}", user_id="jane" if number % 9 == 0 else f"u-{number}", session_id=f"s-{number // 3}")
        for number in range(2 * SEGMENT)
    ]
    for first in range(0, len(events), 1000):
        storage.write(events[first : first + 1000])
    wanted = Filter("acme", equals={"user_id": "jane"})
    assert not Postings(storage._connections).look(60)
    key = _key("acme", "user_id", "jane")

    def postings() -> int:
        with storage._connections.reading() as snapshot:
            found: int = snapshot.execute("SELECT count(*) FROM postings WHERE key = ?", (key,)).fetchone()[0]
        return found

    assert postings() > 0, "the control: it has been indexed"
    erase(storage, user_id="jane")
    assert storage.erasure.finish()
    assert postings() == 0
    assert storage.reader.count(wanted, most=10_000).events == 0
    assert storage.reader.count(Filter("acme", equals={"user_id": "u-1"}), most=10).events == 1


def grep(path: Path, text: str) -> int:
    """How often the files hold a text. Asked in another process: here it would drop SQLite's locks."""
    script = """if True:
        import pathlib, sys
        files = pathlib.Path(sys.argv[1]).parent.iterdir()
        print(sum(file.read_bytes().count(sys.argv[2].encode()) for file in files))
    """
    return int(subprocess.run([sys.executable, "-c", script, path, text], capture_output=True, check=True).stdout)


def test_a_reader_keeps_the_log_and_that_is_told(storage: SqliteStorage, tmp_path: Path) -> None:
    storage.close()
    storage = SqliteStorage(tmp_path / "analytics.db", busy_timeout=0.1)
    storage.write([an_event("e-1", user_id="jane")])
    with storage._connections.reading() as snapshot:
        snapshot.execute("SELECT count(*) FROM events").fetchone()
        assert erase(storage, user_id="jane").events == 1
        assert not storage.erasure.finish()
    assert storage.erasure.finish()
    storage.close()


def test_writers_do_not_wait_for_an_erasure_to_end(storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_erasure, "SCAN", 100)
    storage.write([an_event(f"e-{number}", user_id="jane") for number in range(1000)])
    work = storage.erasure.erase(Subject(user_id="jane"))
    next(work)
    storage.write([an_event("e-new", user_id="joe")])
    assert sum((step.erased.events for step in work), 0) == 900
    assert ids(storage) == ["e-new"]


def test_retention_removes_what_is_too_old_a_slice_at_a_time(storage: SqliteStorage) -> None:
    now = 0.0
    retention = Retention(storage.erasure, 30, clock=lambda: now)
    today = datetime.now(timezone.utc)
    storage.write([at(today - timedelta(days=31), number) for number in range(FEWEST * 3)])
    storage.write([at(today - timedelta(days=29), 99)])
    retention()
    assert len(ids(storage)) == FEWEST * 2 + 1
    for _ in range(10):
        now += 1.0
        retention()
    assert len(ids(storage)) == 1
    storage.write([at(today - timedelta(days=31), 100)])
    retention()
    assert len(ids(storage)) == 2, "there were none: it looks again in a minute"
    now += LOOK_EVERY
    retention()
    assert len(ids(storage)) == 1


def test_retention_leaves_the_others_alone_while_one_thread_is_at_it(storage: SqliteStorage) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow:
        calls = 0

        def purge(self, before: datetime, limit: int) -> Erased:
            self.calls += 1
            entered.set()
            assert go_on.wait(60)
            return Erased()

    slow = Slow()
    retention = Retention(slow, 30)  # type: ignore[arg-type]
    thread = threading.Thread(target=retention)
    thread.start()
    assert entered.wait(60)
    retention()
    go_on.set()
    thread.join()
    assert slow.calls == 1
