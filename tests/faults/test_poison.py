"""One event that the storage cannot take fails alone; a storage that breaks its promise is not believed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeHost
from tests.hosts.base import BATCH, Host, an_event
from tests.servers.running import stored_ids
from tk_analytics_mw import Event, StorageUnavailable
from tk_analytics_mw.storage.sqlite import SqliteStorage

POISON = "poison"


class Picky:
    """Keeps events in SQLite, and raises for a write with one that it does not like.

    Args:
        path: of the file.
        error: made for such a write.
    """

    def __init__(self, path: Path, error: type[Exception] = ValueError) -> None:
        self._storage = SqliteStorage(path)
        self._error = error
        self.sizes: list[int] = []

    def write(self, events: Sequence[Event]) -> Sequence[Event] | None:
        self.sizes.append(len(events))
        if any(event.user_id == POISON for event in events):
            raise self._error("hunter2")
        return self._storage.write(events)

    def close(self) -> None:
        self._storage.close()


class Miscounting(Picky):
    """Keeps what it is given, but gives one event too many or too few back."""

    def __init__(self, path: Path, change: int) -> None:
        super().__init__(path)
        self._change = change

    def write(self, events: Sequence[Event]) -> Sequence[Event] | None:
        return [*events, *events][: len(events) + self._change]


def batch_of(size: int, *poisoned: int) -> dict[str, Any]:
    return {"events": [an_event(userId=POISON if number in poisoned else f"user-{number}") for number in range(size)]}


def statuses(host: Host, body: dict[str, Any]) -> list[int]:
    reply = host.from_server(body, path=BATCH)
    assert reply.status == 200
    assert b"hunter2" not in reply.body
    return [result["status"] for result in reply.json["results"]]


@pytest.mark.parametrize("poisoned", [[0], [6], [12], [0, 12], [3, 4, 5]], ids=str)
def test_a_poisoned_event_of_a_batch_fails_alone(make_host: MakeHost, tmp_path: Path, poisoned: list[int]) -> None:
    """Negative control: the first write of the whole batch does fail, and without halving all would."""
    storage = Picky(tmp_path / "picky.db")
    host = make_host(storage=storage)
    assert statuses(host, batch_of(13, *poisoned)) == [500 if number in poisoned else 200 for number in range(13)]
    assert storage.sizes[0] == 13
    assert len(storage.sizes) > 1
    assert len(stored_ids(tmp_path / "picky.db")) == 13 - len(poisoned)


def test_a_poisoned_event_is_500_and_the_next_one_is_stored(make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host(storage=Picky(tmp_path / "picky.db"))
    poisoned = host.from_page(an_event(userId=POISON))
    assert poisoned.status == 500
    assert poisoned.headers["content-type"].partition(";")[0] == "application/problem+json"
    assert b"hunter2" not in poisoned.body
    assert host.from_page(an_event()).status == 200
    assert len(stored_ids(tmp_path / "picky.db")) == 1


def test_a_storage_that_is_not_available_is_asked_once_and_is_503(make_host: MakeHost, tmp_path: Path) -> None:
    """Negative control: an error of any other kind is asked about again, in halves."""
    for error, writes in ((StorageUnavailable, 1), (ValueError, 7)):
        storage = Picky(tmp_path / f"{error.__name__}.db", error)
        host = make_host(storage=storage)
        reply = host.from_server(batch_of(4, 0, 1, 2, 3), path=BATCH)
        assert len(storage.sizes) == writes
        if error is StorageUnavailable:
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) >= 1
            single = host.from_server(an_event(userId=POISON))
            assert (single.status, single.headers["retry-after"]) == (503, "1")
            assert host.from_server(an_event()).status == 200


@pytest.mark.parametrize("change", [-1, 1, 0], ids=["one_less", "one_more", "the_same"])
def test_a_storage_that_gives_another_number_of_events_back_is_not_believed(
    make_host: MakeHost, tmp_path: Path, change: int
) -> None:
    """Negative control: the same storage with the right number is believed."""
    host = make_host(storage=Miscounting(tmp_path / "unused.db", change))
    status = 200 if change == 0 else 500
    assert host.from_page(an_event()).status == status
    assert statuses(host, batch_of(3)) == [status] * 3
