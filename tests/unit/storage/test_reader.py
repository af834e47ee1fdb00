"""Every answer of the reader equals that of a plain list of events, whatever has been looked at, erased and added."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.bench.made import fill, organisations
from tests.unit.making import an_event
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.queries import Filter, Place
from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.storage.memory.reader import wants
from tk_analytics_mw.storage.rows import COLUMNS, event_of
from tk_analytics_mw.storage.sqlite import SqliteStorage, candidates, postings
from tk_analytics_mw.storage.sqlite.candidates import find, parts_of
from tk_analytics_mw.storage.sqlite.filters import condition
from tk_analytics_mw.storage.sqlite.lists import rows_of
from tk_analytics_mw.storage.sqlite.postings import MOST_PAIRS, SEGMENT
from tk_analytics_mw.storage.sqlite.reads import MOST_LINES
from tk_analytics_mw.storage.sqlite.segments import BITS
from tk_analytics_mw.testing.readers import compare, slices

ORGANISATION = organisations()[0].org_id
MADE = 3 * SEGMENT + 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few segments of events, some of them out of the order of time, and odd metadata."""
    path = tmp_path_factory.mktemp("made") / "analytics.db"
    fill(path, events=MADE, sessions=MADE // 20)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE events SET created_at = '2025-06-01T00:00:00.000Z' WHERE position % 97 = 0")
        connection.execute("""UPDATE events SET event_metadata = '{"n":1,"t":true,"s":"1"}' WHERE position % 501 = 0""")
        connection.execute("""UPDATE events SET event_metadata = '{"n":true,"x":null}' WHERE position % 503 = 0""")
        connection.execute("""UPDATE events SET event_metadata = '{"k3":3}' WHERE position % 509 = 0""")
        many = ",".join(f'"k{number}":{number}' for number in range(MOST_PAIRS + 1))
        connection.execute(f"UPDATE events SET event_metadata = '{{{many}}}' WHERE position % 507 = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def storage(made: Path, tmp_path: Path) -> Iterator[SqliteStorage]:
    (tmp_path / "analytics.db").write_bytes(made.read_bytes())
    storage = SqliteStorage(tmp_path / "analytics.db")
    yield storage
    storage.close()


class Model(MemoryStorage):
    """All events of the organisation in memory, and the same questions."""

    def __init__(self, storage: SqliteStorage) -> None:
        super().__init__()
        with closing(sqlite3.connect(storage.path)) as connection:
            self.write(
                [
                    event_of(row)
                    for row in connection.execute(
                        f"SELECT {', '.join(COLUMNS)} FROM events WHERE org_id = ? ORDER BY position", (ORGANISATION,)
                    )
                ]
            )


def only(model: Model, wanted: Filter) -> MemoryStorage:
    """A model of these events alone, of which many questions are asked."""
    found = MemoryStorage()
    found.write([event for event in model.events if wants(wanted, event)])
    return found


def some_filters(model: Model, source: random.Random, number: int) -> Iterator[Filter]:
    """Filters by values that are there, often and seldom, and by some that are not."""
    names = ("session_id", "user_id", "asset_id", "event_type", "device", "referer", "metric", "browser")
    metadata: list[dict[str, Any]] = [{"n": 1}, {"n": True}, {"s": "1"}, {"k3": 3}, {"x": None}, {"campaign": "spring"}]
    for _ in range(number):
        event = source.choice(model.events)
        wanted = Filter(ORGANISATION)
        for name in source.sample(names, source.choice((0, 1, 1, 1, 2))):
            value = getattr(event, name)
            if value is not None:
                wanted = replace(wanted, equals={**wanted.equals, name: "nobody" if source.random() < 0.1 else value})
        if source.random() < 0.3:
            wanted = replace(wanted, metadata=source.choice(metadata))
        if source.random() < 0.3:
            wanted = replace(wanted, since=event.created_at - timedelta(days=source.randrange(400)))
        if source.random() < 0.3:
            wanted = replace(wanted, until=event.created_at + timedelta(days=source.randrange(400)))
        yield wanted


def check(storage: SqliteStorage, seed: int, number: int = 15) -> None:
    model = Model(storage)
    source = random.Random(seed)
    for wanted in some_filters(model, source, number):
        compare(
            storage.reader,
            only(model, wanted).reader,
            wanted,
            limit=source.choice((1, 7, 30)),
            skip=source.choice((0, 0, 3)),
        )
    session_id = source.choice(model.events).session_id
    assert storage.reader.session(ORGANISATION, session_id) == model.reader.session(ORGANISATION, session_id)


def looked_at(storage: SqliteStorage) -> int:
    with closing(sqlite3.connect(storage.path)) as connection:
        found: int = connection.execute("SELECT count(*) FROM segments WHERE ready").fetchone()[0]
        return found


def test_answers_are_right_before_anything_was_looked_at(storage: SqliteStorage) -> None:
    with storage._connections.reading() as snapshot:
        assert snapshot.execute("SELECT count(*) FROM segments").fetchone() == (0,)
    check(storage, 1, number=8)


def test_answers_are_right_through_postings(storage: SqliteStorage) -> None:
    assert storage.reader._postings.look(60) is False
    assert looked_at(storage) == 3, "all that are complete"
    check(storage, 2)


def test_answers_are_right_of_frequent_values(storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those events are gone through by time, then one segment after the other, and whole segments are searched."""
    monkeypatch.setattr(postings, "MANY", 4)
    monkeypatch.setattr(candidates, "FEW", 2)
    storage.reader._postings.look(60)
    check(storage, 8)
    compare(
        storage.reader,
        Model(storage).reader,
        Filter(ORGANISATION, metadata={"k3": 3}),  # also in events with more metadata than has postings
        limit=5,
    )


def test_answers_are_right_when_events_go_and_come(storage: SqliteStorage) -> None:
    storage.reader._postings.look(60)
    with storage._connections.transaction() as connection:
        connection.execute("DELETE FROM events WHERE position BETWEEN 100 AND 300 OR position > ?", (MADE - 200,))
    assert looked_at(storage) == 2
    new = [
        an_event(f"new-{number}", org_id=ORGANISATION, session_id=f"new-{number % 9}", asset_id="new")
        for number in range(500)
    ]
    storage.write(new)
    check(storage, 3)
    storage.reader._postings.look(60)
    assert looked_at(storage) == 3
    check(storage, 4)


def test_positions_that_are_used_again_are_not_missed(storage: SqliteStorage) -> None:
    storage.reader._postings.look(60)
    with storage._connections.transaction() as connection:
        connection.execute("DELETE FROM events WHERE position >= ?", (SEGMENT * 2 - 10,))
    storage.write([an_event(f"new-{number}", org_id=ORGANISATION, asset_id="new") for number in range(30)])
    assert storage.reader.count(Filter(ORGANISATION, equals={"asset_id": "new"})).events == 30


def test_an_event_that_goes_while_its_segment_is_looked_at_throws_the_look_away(storage: SqliteStorage) -> None:
    looks = storage.reader._postings
    with storage._connections.transaction() as connection:
        connection.execute("INSERT INTO segments (segment) VALUES (1)")
        [look] = connection.execute("SELECT look FROM segments").fetchone()
        connection.execute("DELETE FROM events WHERE position = ?", (SEGMENT + 5,))
        assert connection.execute("UPDATE segments SET ready = 1 WHERE look = ?", (look,)).rowcount == 0
    looks.look(60)
    check(storage, 5, number=8)


def test_a_rare_value_is_found_through_few_events(storage: SqliteStorage) -> None:
    storage.reader._postings.look(60)
    events = sorted(Model(storage).events, key=lambda event: event.created_at)
    event = events[len(events) // 2]
    with storage._connections.reading() as snapshot:
        found = find(snapshot, Filter(ORGANISATION, equals={"session_id": event.session_id}))
        assert found is not None
        parts = [*parts_of(snapshot, found)]
    assert 0 < sum(len(part.positions or ()) for part in parts) < 200
    assert all(part.positions is not None for part in parts)


@pytest.mark.parametrize("equals", [{}, {"asset_id": organisations()[0].assets[0]}])
def test_deep_in_a_list_of_a_time_a_page_costs_what_the_first_one_does(
    storage: SqliteStorage, equals: dict[str, str]
) -> None:
    storage.reader._postings.look(60)
    first, *_, last = sorted(event.created_at for event in Model(storage).events)
    wanted = Filter(ORGANISATION, equals=equals, since=first, until=last)
    places = [None, Place(timestamp(first + (last - first) / 5), 0), Place(timestamp(last - (last - first) / 5), 0)]
    steps = []

    def count_step() -> None:
        steps[-1] += 1

    with closing(sqlite3.connect(storage.path)) as connection:
        connection.set_progress_handler(count_step, 10)
        for order, place in zip(("newest", "newest", "oldest"), places, strict=True):
            steps.append(0)
            assert rows_of(connection, wanted, order, limit=2, skip=0, after=place)
    assert max(steps) < 2 * steps[0], "of SQLite's virtual machine"


def test_an_export_in_slices_is_every_event_once(storage: SqliteStorage) -> None:
    until = storage.reader.last_position()
    reader = storage.reader
    rows = [row for part in slices(reader.rows, Filter(ORGANISATION), 0, until) for row in part.rows]
    lines = [part.lines for part in slices(reader.lines, Filter(ORGANISATION), 0, until)]
    assert max(part.count(b"\n") for part in lines) == MOST_LINES
    assert len(rows) == b"".join(lines).count(b"\n") == len(Model(storage).events)
    assert [row[0] for row in rows] == [json.loads(line)["id"] for line in b"".join(lines).splitlines()]
    assert len({row[0] for row in rows}) == len(rows)
    storage.write([an_event("later", org_id=ORGANISATION)])
    assert storage.reader.rows(Filter(ORGANISATION), after=until, until=until).rows == []


def test_a_condition_holds_nothing_that_was_given() -> None:
    wanted = Filter("'; DROP", equals={"asset_id": "'; DROP"}, metadata={"'; DROP": "'; DROP", "n": 1, "t": True})
    assert "DROP" not in condition(wanted).sql
    assert condition(wanted).sql.count("?") == len(condition(wanted).values)
    assert Place("2026-01-01T00:00:00.000Z", 1) < Place("2026-01-01T00:00:00.000Z", 2)


def test_a_file_with_larger_segments_is_looked_at_anew(storage: SqliteStorage) -> None:
    """As it was before segments were cut smaller: other triggers, and postings whose offsets count otherwise."""
    check(storage, 6, number=2)
    storage.close()
    with closing(sqlite3.connect(storage.path, isolation_level=None)) as connection:
        for name, sql in connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE name LIKE 'forget_segment_%'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
            connection.execute(sql.replace(f">> {BITS}", f">> {BITS + 1}"))
        connection.execute("DROP INDEX segments_ready")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'cut_segments_smaller'")
        assert connection.execute("SELECT count(*) FROM segments").fetchone() != (0,)
    with storage._connections.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM segments").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM postings").fetchone() == (0,)
    storage.reader._postings.look(60)
    assert looked_at(storage) == 3
    with storage._connections.transaction() as connection:
        connection.execute("DELETE FROM events WHERE position = ?", (SEGMENT + 1,))
    assert looked_at(storage) == 2, "the second one is forgotten"
    check(storage, 7, number=2)
