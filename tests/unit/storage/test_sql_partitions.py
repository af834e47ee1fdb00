"""Events in partitions by month: what the suites do not ask for."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.databases.postgresql import PostgreSQL
from tk_analytics_mw.errors import ConfigurationError, StorageUnavailable
from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import first_event_id
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.copying import Copy
from tk_analytics_mw.storage.erasure import Erased
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.sql import SqlStorage
from tk_analytics_mw.storage.sql.engines import url_of
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.testing.making import an_event

DAY = timedelta(days=1)
MAIL = Subscription("mail")
JUNE, JULY, AUGUST = (datetime(2026, month, 10, 12, tzinfo=timezone.utc) for month in (6, 7, 8))


@pytest.fixture
def url(postgresql: PostgreSQL) -> str:
    return postgresql.emptied(partitioned=True)


@pytest.fixture
def storage(url: str) -> Iterator[SqlStorage]:
    made = SqlStorage(url)
    made.erasure.purge(datetime.now(timezone.utc) + 70 * DAY)  # months of other tests
    made.migrate()
    yield made
    made.close()


def findings(storage: SqlStorage) -> str:
    return "\n".join(f"{each.level}: {each.what}" for each in storage.examine())


def months(storage: SqlStorage) -> list[str]:
    with storage._connections.reading() as connection:
        names = connection.exec_driver_sql("SELECT relname FROM pg_class WHERE relname ~ '^tk_analytics_events_2...'")
        return sorted(name[-7:] for name in names.scalars() if name[-3] == "_")


def stored(storage: SqlStorage) -> list[Event]:
    return [*storage.reader.events(Filter("acme"), "oldest", limit=99).events]


def test_a_month_has_its_partition_and_the_next_one_is_there_before_its_time(storage: SqlStorage) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    coming = now.replace(day=1) + 31 * DAY
    assert months(storage) == [f"{now:%Y_%m}", f"{coming:%Y_%m}"]
    storage.write([an_event(1, created_at=JUNE), an_event(2, created_at=AUGUST), an_event(3, created_at=now)])
    assert months(storage) == ["2026_06", "2026_08", f"{now:%Y_%m}", f"{coming:%Y_%m}"]
    assert f"ok: 4 partitions, from 2026-06 to {coming:%Y-%m}" in findings(storage)
    assert (storage.pending(), storage.migrate()) == ([], [])


def test_old_months_go_as_a_whole_and_nothing_of_them_stays(storage: SqlStorage) -> None:
    june = [an_event(number, created_at=JUNE + number * DAY, idempotency_key=f"k-{number}") for number in range(3)]
    july = [an_event(10 + number, created_at=JULY + 2 * number * DAY) for number in range(2)]
    storage.write([*june, *july, an_event(20, created_at=AUGUST)], [MAIL])
    edges = [JUNE - 9 * DAY, JULY]
    assert storage.figures.views(Filter("acme"), edges) == [3]
    before = JULY + DAY
    assert storage.erasure.count(before) == 4
    assert storage.erasure.purge(before, 1) == Erased(3, 3), "of one in July it is not yet known"
    assert "2026_06" not in months(storage)
    assert storage.erasure.purge(before, 5) == Erased(1, 1)
    assert storage.erasure.purge(before) == Erased()
    assert storage.figures.views(Filter("acme"), edges) == [0]
    assert storage.outbox.counts()["mail"].pending == 2
    assert storage.write(june[:1]) == june[:1], "its key is held no more"
    assert [event.id for event in stored(storage)] == [june[0].id, july[1].id, an_event(20, created_at=AUGUST).id]


def test_whoever_reads_an_old_month_keeps_it_from_going_as_a_whole_and_not_from_going(
    storage: SqlStorage, url: str
) -> None:
    storage.write([an_event(number, created_at=JUNE) for number in range(5)])
    with storage._connections.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM tk_analytics_events").scalar() == 5
        assert storage.erasure.purge(AUGUST, 3) == Erased(3)
    assert storage.erasure.purge(AUGUST, 1) == Erased(1), "it is not tried again at once"
    another = SqlStorage(url)
    assert another.erasure.purge(AUGUST, 1) == Erased(1)
    another.close()
    assert "2026_06" not in months(storage)


def test_no_event_is_refused_for_its_id_and_none_is_held_twice(storage: SqlStorage) -> None:
    ids = [str(uuid.UUID(int=number, version=4)) for number in (0, 2**127)]
    ids += [first_event_id(datetime(year, 5, 5, tzinfo=timezone.utc)) for year in (1970, 8999)]
    events = [an_event(id_, created_at=JUNE) for id_ in ids]
    for _ in range(2):
        storage.write(events)
    assert {event.id for event in stored(storage)} == {*ids}
    assert [storage.reader.event("acme", id_) for id_ in ids] == events
    assert "warning" not in findings(storage)


def test_a_key_is_held_in_all_months(storage: SqlStorage) -> None:
    first = an_event(1, created_at=JUNE, idempotency_key="k")
    storage.write([first])
    later = [an_event(number, created_at=AUGUST, idempotency_key="k") for number in (2, 3)]
    assert storage.write([*later, an_event(4, created_at=JULY)]) == [first, first, an_event(4, created_at=JULY)]
    assert [event.id for event in stored(storage)] == [first.id, an_event(4, created_at=JULY).id]
    assert storage.write([later[0].model_copy(update={"org_id": "rival"})])[0].org_id == "rival"  # type: ignore[index]


def test_a_month_that_cannot_be_made_keeps_nobody_from_writing(storage: SqlStorage) -> None:
    with storage._connections.reading() as connection:
        connection.exec_driver_sql("SELECT 1 FROM tk_analytics_events LIMIT 1")
        began = time.monotonic()
        storage.write([an_event(1, created_at=JUNE, idempotency_key="k")])
        assert time.monotonic() - began < 3
    assert "2026_06" not in months(storage)
    assert "warning: 1 events wait for the partition of their month" in findings(storage)
    assert storage.migrate() == ["the partition of 2026-06"]
    assert "warning" not in findings(storage)
    assert storage.write([an_event(2, created_at=JUNE, idempotency_key="k")]) == stored(storage)
    assert storage.reader.event("acme", an_event(1, created_at=JUNE).id) is not None


def test_a_transaction_of_the_hosts_writes_into_partitions(storage: SqlStorage, url: str) -> None:
    engine = create_engine(url_of(url.partition("?")[0]))
    told: list[str] = []
    with Session(engine) as session:
        storage.write_within(session, [an_event(1, created_at=JUNE)], [MAIL], then=lambda: told.append("1"))
        session.commit()
    engine.dispose()
    assert told == ["1"]
    assert stored(storage) == [an_event(1, created_at=JUNE)]
    assert len(storage.outbox.claim("mail", owner="o", limit=9, now=1e9, until=2e9, ordered=False)) == 1


def test_a_copy_makes_the_months_of_what_it_copies(storage: SqlStorage, tmp_path: Path) -> None:
    source = SqliteStorage(tmp_path / "analytics.db")
    events = [an_event(number, created_at=JUNE - number * 40 * DAY) for number in range(4)]
    source.write(events)
    copy = Copy(source, storage)
    copy.run(lambda done, of: None)
    [(there, here)] = copy.totals(lambda done, of: None).values()
    assert there == here
    assert months(storage)[:4] == ["2026_02", "2026_03", "2026_05", "2026_06"]
    source.close()


def test_events_in_a_table_without_partitions_stay_there_and_it_is_told_what_to_do(postgresql: PostgreSQL) -> None:
    plain = SqlStorage(postgresql.fresh())
    plain.write([an_event(1)])
    asked = SqlStorage(str(plain._connections._url.render_as_string(hide_password=False)), partitions="monthly")
    assert asked.pending() == ["partitions by month"]
    assert "error: the tables are missing or old: partitions by month" in findings(asked)
    with pytest.raises(StorageUnavailable, match="has no partitions"):
        asked.write([an_event(2)])
    with pytest.raises(ConfigurationError, match="copy --from"):
        asked.migrate()
    assert stored(plain) == [an_event(1)]
    plain.erasure.purge(datetime.now(timezone.utc) + DAY)
    assert asked.migrate()[0] == "partitions by month", "an empty one is made anew"
    asked.write([an_event(2)])
    assert stored(plain) == [an_event(2)], "who does not know of them reads and writes as well"
    plain.write([an_event(3)])
    assert "warning: events are in partitions by month, and the URL does not say so" in findings(plain)
    asked.close()
    plain.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://host/shop?partitions=weekly", "partitions are 'monthly', not 'weekly'"),
        ("postgresql://host/shop?partitions=monthly&partitions=monthly", "twice"),
        ("mysql://host/shop?partitions=monthly", "PostgreSQL alone"),
    ],
)
def test_what_is_no_such_option_is_said_at_the_start(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SqlStorage(url)
