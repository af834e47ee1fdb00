"""The outbox of the SQLite storage by itself; what every outbox does is in the conformance suite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.storage.outbox import DeliveryQuery, DurableStorage, Subscription, delivery_id
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.testing.making import an_event, event_id
from tk_analytics_mw.testing.outboxes import MAIL, NOW, claim, ids


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "analytics.db"


@pytest.fixture
def storage(path: Path) -> Iterator[DurableStorage]:
    made: DurableStorage = SqliteStorage(path)
    yield made
    made.close()


def test_an_event_that_cannot_be_stored_is_not_delivered(storage: DurableStorage, path: Path) -> None:
    storage.write([an_event(0)], [MAIL])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        storage.write([an_event(1)], [MAIL])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id FROM events").fetchall() == [(event_id(0),)], "neither without the other"


def test_a_delivery_whose_event_was_deleted_by_hand_holds_up_no_other(storage: DurableStorage, path: Path) -> None:
    storage.write([an_event(1), an_event(2)], [MAIL])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM events WHERE id = ?", (event_id(1),))
    assert ids(claim(storage)) == [2]
    assert [row.id for row in storage.outbox.find(DeliveryQuery(), limit=10)] == [delivery_id("mail", event_id(2))]


def test_a_storage_that_is_away_says_so(tmp_path: Path) -> None:
    path = tmp_path / "analytics.db"
    path.write_bytes(b"no database" * 1000)
    storage = SqliteStorage(path, busy_timeout=0.05)
    for ask in (
        lambda: claim(storage),
        storage.outbox.counts,
        lambda: storage.outbox.enroll(MAIL, now=NOW),
        lambda: storage.outbox.switch("mail", off=None),
    ):
        with pytest.raises(StorageUnavailable):
            ask()


def test_the_past_is_filled_in_a_slice_at_a_time(storage: DurableStorage) -> None:
    storage.write([an_event(number) for number in range(2500)])
    late = Subscription("mail", since="all")
    assert [storage.outbox.enroll(late, now=NOW) for _ in range(4)] == [True, True, False, False]
