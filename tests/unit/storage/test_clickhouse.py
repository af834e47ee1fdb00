"""ClickHouse's storage is as the conformance kit says, in ClickHouse's own engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.engines.chdb import empty
from tk_analytics_mw.events import Event
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.clickhouse import ClickHouseStorage, lists, settled
from tk_analytics_mw.storage.clickhouse.conditions import condition
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.storage.reader import COUNTED, Count
from tk_analytics_mw.testing import ErasureSuite, FiguresSuite, ReaderSuite, StorageSuite
from tk_analytics_mw.testing.making import an_event
from tk_analytics_mw.testing.opened import Opened, OpenStorage

pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
pytest.importorskip("clickhouse_connect")


class ClickHouse(Opened):
    several_processes = False
    most_examples = 10

    @pytest.fixture
    def open_storage(self) -> OpenStorage:
        target = empty()
        return lambda: ClickHouseStorage(target, durability="relaxed")


class TestClickHouseStorage(ClickHouse, StorageSuite): ...


class TestClickHouseReader(ClickHouse, ReaderSuite): ...


class TestClickHouseReaderOfMergedMonths(ClickHouse, ReaderSuite):
    """Of which some questions need no FINAL."""

    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(settled, "QUIET", -10)
        monkeypatch.setattr(settled, "AGAIN", -1)

    def fill(self, storage: Any, org_id: str, made: Sequence[Mapping[str, Any]]) -> MemoryStorage:
        model = super().fill(storage, org_id, made)
        merge(storage)
        return model


class TestClickHouseFigures(ClickHouse, FiguresSuite):
    most_examples = 20


class TestClickHouseErasure(ClickHouse, ErasureSuite): ...


def merge(storage: ClickHouseStorage) -> None:
    """Make one part of each month."""
    with storage._connections.working() as client:
        client.command(f"OPTIMIZE TABLE {EVENTS} FINAL")


@pytest.mark.parametrize(
    "wanted",
    [
        Filter("acme", {"session_id": "s-1"}),
        Filter("acme", {"user_id": "u-1"}),
        Filter("acme", {"asset_id": "a-1"}),
        Filter("acme", metadata={"order": 1}),
    ],
)
def test_rare_values_are_looked_up_in_the_index(wanted: Filter) -> None:
    storage = ClickHouseStorage(empty(), durability="relaxed")
    storage.write([an_event(1)])
    where = condition(wanted)
    plan = storage._connections.rows(f"EXPLAIN indexes = 1 SELECT id FROM {EVENTS} WHERE {where.sql}", where.values)
    assert "by_value" in str(plan)
    storage.close()


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 2_100_000])
def test_values_of_every_length_stand_in_their_columns(length: int) -> None:
    storage = ClickHouseStorage(empty(), durability="relaxed")
    text, many = "ü" * (length // 2) + "x" * (length % 2), {f"key {number}": number for number in range(length % 1_000)}
    long = an_event(1, event_metadata={"text": text}, configuration=many, user_id=None, user_agent=text, metric=-0.5)
    beside = an_event(2, user_id="u-1")
    storage.write([long, beside])
    names = "lower(hex(id)), metadata_values['text'], length(configuration_values), user_id, user_agent, metric"
    values = storage._connections.rows(f"SELECT {names} FROM {EVENTS} ORDER BY created_at", {})
    assert values == [
        (long.id.replace("-", ""), f'"{text}"', len(many), None, text, -0.5),
        (beside.id.replace("-", ""), "", 0, "u-1", None, beside.metric),
    ]
    assert storage.reader.event("acme", long.id) == long
    storage.close()


def test_what_is_stored_again_under_an_id_changes_no_list_and_no_count() -> None:
    storage = ClickHouseStorage(empty(), durability="relaxed")
    first = an_event(1, user_id="u-1")
    others = [an_event(number, user_id="u-1", created_at=first.created_at) for number in (2, 3)]
    storage.write([first])
    storage.write([first.replace(user_id="u-2"), *others])
    storage.write([first, *others])
    reader = storage.reader
    for skip in range(3):
        found = reader.events(Filter("acme", {"user_id": "u-1"}), "oldest", limit=2, skip=skip).events
        assert list(found) == [first, *others][skip : skip + 2]
    assert list(reader.events(Filter("acme", {"user_id": "u-2"}), "newest", limit=2).events) == []
    assert reader.count(Filter("acme", {"user_id": "u-1"}), most=9).events == 3
    assert reader.count(Filter("acme", {"user_id": "u-2"}), most=9).events == 0
    storage.close()


def test_only_months_that_are_one_part_for_long_are_read_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = ClickHouseStorage(empty(), durability="relaxed")
    asked: list[str] = []
    rows = storage._connections.rows

    def listening(sql: str, *args: Any) -> Any:
        asked.append(sql)
        return rows(sql, *args)

    monkeypatch.setattr(storage._connections, "rows", listening)

    def listed(user_id: str) -> tuple[list[Event], bool]:
        """The user's events, and whether they were merged for that."""
        asked.clear()
        page = storage.reader.events(Filter("acme", {"user_id": user_id}), "newest", limit=2)
        return [*page.events], any("FINAL" in sql for sql in asked)

    first = an_event(1, user_id="u-1")
    storage.write([first])
    assert listed("u-1") == ([first], True), "the part is new"
    monkeypatch.setattr(settled, "QUIET", -10)
    assert listed("u-1") == ([first], True), "it was looked for lately"
    monkeypatch.setattr(settled, "AGAIN", -1)
    assert listed("u-1") == ([first], False)
    # What comes later under its id is in another part: it counts for nobody, and the first one as before.
    storage.write([first.replace(user_id="u-2")])
    monkeypatch.setattr(settled, "AGAIN", 60)
    assert listed("u-2") == ([], True)
    assert listed("u-1") == ([first], False)
    monkeypatch.setattr(settled, "REMEMBERED", -1)
    assert listed("u-1") == ([first], True), "it is not the only part any more"
    with monkeypatch.context() as careless:  # control: what reading it as it is would give
        careless.setattr(lists, "settled", lambda *_: True)
        assert listed("u-2") == ([first.replace(user_id="u-2")], False)
    merge(storage)
    monkeypatch.setattr(settled, "AGAIN", -1)
    assert listed("u-1") == ([first], False)
    assert listed("u-2") == ([], False)
    storage.close()


def test_many_events_of_one_are_listed_and_counted_as_those_of_all_are() -> None:
    storage = ClickHouseStorage(empty(), durability="relaxed")
    events = [an_event(number, user_id="u-1") for number in range(lists.OWNED + 1)]
    whose = Filter("acme", {"user_id": "u-1"})
    for number in (-1, lists.OWNED + 1):  # as many as are read at once, and one more
        storage.write(events[:number])
        expected = [*reversed(events[:number])]
        page = storage.reader.events(whose, "newest", limit=150)
        assert page.count == Count(len(expected), exact=True)
        assert [*page.events] == expected[:150]
        following = storage.reader.events(whose, "newest", limit=150, after=page.next)
        assert [*following.events] == expected[150:]
    storage.close()


def test_a_page_tells_how_many_there_are_whatever_is_stored_twice() -> None:
    storage = ClickHouseStorage(empty(), durability="relaxed")
    events = [an_event(number, device="PC") for number in range(1, COUNTED + 2)]
    whose = Filter("acme", {"device": "PC"})
    storage.write(events[:60])
    storage.write(events[:40])
    assert storage.reader.events(whose, "newest", limit=50).count == Count(60, exact=True)
    storage.write(events[:COUNTED])
    assert storage.reader.events(whose, "newest", limit=50).count == Count(COUNTED, exact=False)
    assert storage.reader.count(whose, most=COUNTED) == Count(COUNTED, exact=True)
    storage.write(events[-1:])
    assert storage.reader.events(whose, "newest", limit=50).count == Count(COUNTED, exact=False)
    assert storage.reader.events(whose, "oldest", limit=50, skip=10).count == Count(COUNTED, exact=False)
    assert storage.reader.count(whose, most=COUNTED) == Count(COUNTED, exact=False)
    storage.close()


def test_what_lies_within_the_stretch_that_is_looked_through_is_counted_exactly() -> None:
    storage = ClickHouseStorage(empty(), durability="relaxed")
    now = datetime(2026, 11, 1, tzinfo=timezone.utc)
    days = [now - timedelta(days=number) for number in range(100)]
    storage.write([an_event(number, device="PC", created_at=day) for number, day in enumerate(days)])
    last_week, in_the_middle = days[7], (days[60], days[40])
    for order in ("newest", "oldest"):
        for since, until, expected in (
            (last_week, None, Count(8, exact=True)),
            (*in_the_middle, Count(20, exact=True)),
            (None, None, Count(32, exact=False)),
        ):
            wanted = Filter("acme", {"device": "PC"}, since=since, until=until)
            page = storage.reader.events(wanted, order, limit=5)
            assert len(page.events) == 5
            assert page.count == expected
    storage.close()
