"""``copy``: everything, once, whatever happens in between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run
from tests.databases.postgresql import PostgreSQL
from tk_analytics_mw.storage.copying import Copy
from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.storage.outbox import DeliveryQuery, Outcome, Subscription
from tk_analytics_mw.storage.refusals import Refusal, Sample
from tk_analytics_mw.storage.sql import SqlStorage
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.storage.tokens import StoredToken
from tk_analytics_mw.testing import an_event
from tk_analytics_mw.testing.making import number_of

NOW = datetime.now(timezone.utc).replace(microsecond=0)
MAIL = Subscription("mail")
FIELD = Refusal("acme", "private-1a2b3c4d", "invalid event", "")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[SqliteStorage]:
    made = SqliteStorage(tmp_path / "old.db", durability="relaxed")
    yield made
    made.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[SqliteStorage]:
    made = SqliteStorage(tmp_path / "new.db", durability="relaxed")
    yield made
    made.close()


def copy(folder: Path, *, expect: int = 0) -> Any:
    done = run("copy", "--from", "sqlite:///old.db", "--to", "sqlite:///new.db", "--json", folder=folder, expect=expect)
    return json.loads(done.stdout)


def waiting(storage: Any, name: str = "mail") -> list[int]:
    return [number_of(row.event_id) for row in storage.outbox.find(DeliveryQuery(name=name), limit=100)]


def test_everything_is_copied_once_and_what_came_since_the_next_time(
    source: SqliteStorage, target: SqliteStorage, tmp_path: Path
) -> None:
    source.write([an_event(1, event_metadata={"b": [1, 2.5], "a": "ü"}, idempotency_key="k")], [MAIL])
    source.write([an_event(2), an_event(3, org_id="rival"), an_event(4)])
    source.write([an_event(5), an_event(6)], [MAIL, Subscription("stock")])
    source.outbox.enroll(Subscription("stock"), now=time.time())
    source.outbox.switch("stock", off="410")
    [first, *_] = source.outbox.claim(
        "mail", owner="d", limit=1, now=time.time(), until=time.time() + 60, ordered=False
    )
    source.outbox.settle("d", [Outcome(first, "delivered")], now=time.time())
    token = StoredToken("private-1a2b3c4d", b"1" * 32, "private", "acme", (), "erp", NOW)
    source.tokens.add(token)
    source.refusals.add(
        NOW.date() - timedelta(days=1), {FIELD: 2}, [Sample(NOW - timedelta(days=1), FIELD, "body.metric")]
    )
    source.refusals.add(NOW.date(), {FIELD: 3}, [Sample(NOW, FIELD, "body.orgId")])

    first_time = copy(tmp_path)
    assert first_time["same"] is True
    assert {org_id: each["to"]["events"] for org_id, each in first_time["organisations"].items()} == {
        "acme": 5,
        "rival": 1,
    }
    assert copy(tmp_path) == first_time, "it may be repeated"
    for org_id, number in (("acme", 1), ("rival", 3)):
        event = an_event(number).id
        assert target.reader.event(org_id, event) == source.reader.event(org_id, event)
    assert target.write([an_event(9, idempotency_key="k")]) == [source.reader.event("acme", an_event(1).id)]
    assert (waiting(target), waiting(target, "stock")) == ([6, 5], [6, 5]), "1 has been delivered"
    assert target.outbox.counts()["stock"].off == "410"
    assert target.tokens.tokens() == [token]
    for since in (NOW.date(), NOW.date() - timedelta(days=1)):
        assert target.refusals.counts(since=since) == source.refusals.counts(since=since)
    assert target.refusals.samples(limit=9) == source.refusals.samples(limit=9)

    source.write([an_event(7)], [MAIL])
    source.tokens.revoke([token.id], now=NOW)
    assert copy(tmp_path)["organisations"]["acme"]["to"]["events"] == 6
    assert waiting(target) == [7, 6, 5]
    assert target.tokens.tokens() == source.tokens.tokens()


def test_one_that_is_killed_goes_on_where_it_ended(
    source: SqliteStorage, target: SqliteStorage, tmp_path: Path
) -> None:
    for start in range(0, 20_000, 2_000):
        source.write([an_event(number, org_id=f"org-{number % 2}") for number in range(start, start + 2_000)])
    words = ["copy", "--from", "sqlite:///old.db", "--to", "sqlite:///new.db"]
    process = subprocess.Popen([sys.executable, "-m", "tk_analytics_mw", *words], cwd=tmp_path, stdout=subprocess.PIPE)
    while target.reader.last_position() < 2_000:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    held = target.reader.last_position()
    assert held < 20_000
    said = copy(tmp_path)
    assert said["same"] is True
    assert [each["to"]["events"] for each in said["organisations"].values()] == [10_000, 10_000]


def test_what_was_copied_before_is_found_and_not_written_again(source: SqliteStorage) -> None:
    target = Counting()
    for start in range(0, 12_000, 2_000):
        source.write([an_event(number) for number in range(start, start + 2_000)])
    Copy(source, target).run(lambda done, total: None)
    assert target.written == 12_000
    source.write([an_event(12_000)])
    Copy(source, target).run(lambda done, total: None)
    assert target.written <= 12_001 + 10_000


class Counting(MemoryStorage):
    written = 0

    def write(self, events: Any, due: Any = ()) -> Any:
        self.written += len(events)
        return super().write(events, due)


def test_every_engine_gives_what_another_one_took(source: SqliteStorage, postgresql: PostgreSQL) -> None:
    """Out of SQLite into a database server, from there into an analytics engine, and back."""
    metadata = {"b": [1, 2.5, 1e300, None, True], "a": {"ü": "🛒"}, "n": 2**53}
    source.write([an_event(1, event_metadata=metadata, configuration={}, metric=0.1, idempotency_key="k")], [MAIL])
    source.write([an_event(number, org_id="rival", user_id="jane") for number in range(2, 700)])
    pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
    from tests.engines.chdb import empty
    from tk_analytics_mw.storage.clickhouse import ClickHouseStorage

    stations = [SqlStorage(postgresql.fresh()), ClickHouseStorage(empty(), durability="relaxed"), MemoryStorage()]
    with pytest.raises(Exception, match="1 deliveries wait for mail"):
        Copy(source, stations[1]).run(lambda done, total: None)
    here: Any = source
    for there in stations:
        if isinstance(there, ClickHouseStorage):
            here.outbox.discard(DeliveryQuery(), why="they go no further", now=time.time())
        work = Copy(here, there)
        work.run(lambda done, total: None)
        assert {org_id: both[0].events for org_id, both in work.totals(lambda done, total: None).items()} == {
            "acme": 1,
            "rival": 698,
        }
        for mine, theirs in work.totals(lambda done, total: None).values():
            assert mine == theirs
        if here is not source:
            here.close()
        here = there
    assert here.reader.event("acme", an_event(1).id) == source.reader.event("acme", an_event(1).id)


def test_a_difference_is_told_and_an_error(source: SqliteStorage, target: SqliteStorage, tmp_path: Path) -> None:
    source.write([an_event(1), an_event(2, metric=2.0)])
    target.write([an_event(2, metric=3.0)])
    assert copy(tmp_path, expect=1)["same"] is False


def test_a_storage_that_keeps_no_deliveries_takes_none_that_wait(source: SqliteStorage) -> None:
    class Plain:
        def write(self, events: Any) -> None: ...

        def close(self) -> None: ...

    source.write([an_event(1)], [MAIL])
    with pytest.raises(Exception, match="1 deliveries wait for mail"):
        Copy(source, Plain()).run(lambda done, total: None)


def test_a_source_without_events_is_an_error(source: SqliteStorage, tmp_path: Path) -> None:
    assert source.reader.last_position() == 0, "and the file is there"
    told = run("copy", "--from", "sqlite:///old.db", "--to", "sqlite:///new.db", folder=tmp_path, expect=1)
    assert "behind --from" in told.stderr


def test_a_source_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    told = run("copy", "--from", "sqlite:///typo.db", "--to", "sqlite:///new.db", folder=tmp_path, expect=2)
    assert f"--from: there is no file {tmp_path / 'typo.db'}" in told.stderr
    assert not any(tmp_path.iterdir())


def test_a_url_that_is_none_is_the_command_lines_fault(tmp_path: Path) -> None:
    told = run("copy", "--from", "memory://", "--to", "mysql:/x", folder=tmp_path, expect=2)
    assert "--to" in told.stderr
