"""What is particular to PostgreSQL: rare and frequent values, and days that change while they are summed up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.databases.postgresql import PostgreSQL
from tk_analytics_mw.events import Event
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.storage.sql import SqlStorage, walks
from tk_analytics_mw.storage.sql.schema import positions
from tk_analytics_mw.storage.sql.terms import MONTH
from tk_analytics_mw.testing import an_event
from tk_analytics_mw.testing.making import MOMENT
from tk_analytics_mw.testing.readers import compare

DAY = timedelta(days=1)


@pytest.fixture
def storage(postgresql: PostgreSQL) -> Iterator[SqlStorage]:
    made = SqlStorage(postgresql.emptied())
    yield made
    made.close()


def over_years() -> list[Event]:
    """Events of fifty months, a few each: an asset that is everywhere, one of long ago, and one of now and then."""
    events = []
    for number in range(400):
        asset = "old" if number < 90 else "seldom" if number % 40 == 0 else "common"
        moment = MOMENT - 50 * MONTH + number * MONTH / 8
        fields = {"asset_id": asset, "session_id": f"s-{number // 7}", "event_metadata": {"n": number % 50}}
        events.append(an_event(number, created_at=moment.replace(microsecond=0), **fields))
    return events


@pytest.mark.parametrize("field", ["asset_id", "session_id", "metadata", "browser"])
def test_a_value_is_found_whenever_its_events_came(
    storage: SqlStorage, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.setattr(walks, "NEXT", 20)
    monkeypatch.setattr(walks, "MANY", 60)
    model = MemoryStorage()
    events = over_years()
    for start in range(0, len(events), 100):
        storage.write(events[start : start + 100])
        model.write(events[start : start + 100])
    values = {"asset_id": ["common", "old", "seldom", "none"], "session_id": ["s-3"], "browser": ["none"]}
    filters = [Filter("acme", equals={field: value}) for value in values.get(field, [])]
    filters += [Filter("acme", metadata={"n": 7})] if field == "metadata" else []
    for wanted in filters:
        compare(storage.reader, model.reader, wanted, limit=6)
        middle = replace(wanted, since=MOMENT - 45 * MONTH, until=MOMENT - 9 * MONTH)
        compare(storage.reader, model.reader, middle, limit=6, skip=2)


def test_a_day_is_not_summed_up_without_what_is_being_written(storage: SqlStorage) -> None:
    """The writer has looked whether the day is summed up, and has not committed."""
    days = [MOMENT - 6 * DAY, MOMENT - 3 * DAY, MOMENT]
    storage.write([an_event(number, created_at=day) for number, day in enumerate(days)])
    edges = [MOMENT - 4 * DAY, MOMENT - 2 * DAY]
    asked: list[list[int]] = []
    with storage._connections.writing() as connection:
        connection.execute(positions.update().values(last=positions.c.last + 1))
        connection.exec_driver_sql(
            "INSERT INTO tk_analytics_events SELECT (jsonb_populate_record(event, jsonb_build_object("
            "'id', gen_random_uuid(), 'position', event.position + 100))).* FROM tk_analytics_events AS event "
            "WHERE position = 2"
        )
        thread = threading.Thread(target=lambda: asked.append(storage.figures.views(Filter("acme"), edges)))
        thread.start()
        time.sleep(0.2)  # it would be through, if it did not wait
        assert asked == []
    thread.join()
    assert asked == [[2]]
    assert storage.figures.views(Filter("acme"), edges) == [2]


def test_a_day_that_has_been_summed_up_is_forgotten_when_it_changes(storage: SqlStorage) -> None:
    storage.write([an_event(1, created_at=MOMENT - 3 * DAY), an_event(2), an_event(9, created_at=MOMENT - 6 * DAY)])
    edges = [MOMENT - 4 * DAY, MOMENT - 2 * DAY]
    summed = "SELECT count(*) FROM tk_analytics_hour_totals"

    def hours() -> int:
        with storage._connections.reading() as connection:
            found: int = connection.exec_driver_sql(summed).scalar_one()
            return found

    assert storage.figures.views(Filter("acme"), edges) == [1]
    assert hours() == 2, "of the type, and of all"
    storage.write([an_event(3, created_at=MOMENT - 3 * DAY)])
    assert hours() == 0
    assert storage.figures.views(Filter("acme"), edges) == [2]
    storage.erasure.purge(MOMENT - DAY)
    assert storage.figures.views(Filter("acme"), edges) == [0]


def test_a_snapshot_of_somebody_elses_keeps_what_was_erased_and_that_is_told(storage: SqlStorage) -> None:
    storage.write([an_event(1, user_id="jane")])
    with storage._connections.reading() as snapshot:
        assert snapshot.exec_driver_sql("SELECT count(*) FROM tk_analytics_events").scalar_one() == 1
        storage.erasure.purge(MOMENT + DAY)
        assert not storage.erasure.finish()
    assert storage.erasure.finish()
