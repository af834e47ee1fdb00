"""ClickHouse over HTTP that is away, hangs or is killed under load; and several hosts that write to one.

It shows what a killed server loses, not what a power cut does: the page cache outlives a process.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.databases.clickhouse import ClickHouse, migrate, storage_at
from tests.faults.crashes import load_through
from tests.hosts.base import EVENTS, PRIVATE, Reply, an_event, default_options
from tests.hosts.flask_faces import FlaskClient
from tests.servers.running import GUNICORN_PRELOAD, GUNICORN_THREADS, UVICORN_H11, Load, running, wait_until
from tk_analytics_mw.storage.clickhouse import connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS as TABLE
from tk_analytics_mw.testing import an_event as a_stored_event

pytest.importorskip("clickhouse_connect")

ROUNDS = 3
EARLY = "tests.faults.early:AcknowledgesEarlyOnClickHouse"


def a_host(url: str, folder: Path, **options: object) -> FlaskClient:
    return FlaskClient(folder / "nothing.db", {**default_options(), "storage": url, **options}, lambda analytics: None)


def read(host: FlaskClient) -> Reply:
    return host.request("GET", EVENTS, query="userId=jane", headers={"Authorization": f"Bearer {PRIVATE}"})


def test_a_server_that_is_away_is_503_and_once_it_is_back_all_goes_on(clickhouse: ClickHouse, tmp_path: Path) -> None:
    """Before the first event, and after it, with connections that were open."""
    url = clickhouse.fresh()
    host = a_host(url, tmp_path)
    acknowledged: list[str] = []
    for number in range(2):
        clickhouse.kill()
        try:
            refused = [host.from_page(an_event()), host.from_page(an_event()), read(host), read(host)]
        finally:
            clickhouse.start()
        for reply in refused:
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) > 0
        made = host.from_page(an_event(userId="jane"))
        assert made.status == 200
        acknowledged.append(made.json["id"])
        assert len(read(host).json["events"]) == number + 1
    assert sorted(clickhouse.stored(url)) == sorted(acknowledged), "what was refused is not stored"
    host.close()


def test_a_server_that_hangs_is_503_in_seconds(
    clickhouse: ClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a process that has not looked yet whether the tables are there: that question has an hour."""
    monkeypatch.setattr(connections, "READ_SECONDS", 0.2)
    url = clickhouse.fresh()
    known, new = (a_host(url, tmp_path, commit_timeout=0.2) for _ in range(2))
    assert known.from_page(an_event()).status == 200
    with clickhouse.hanging(), ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(lambda host: host.from_page(an_event()), (known, new)))
    assert [reply.status for reply in replies] == [503, 503]
    assert [host.from_page(an_event()).status for host in (known, new)] == [200, 200]
    for host in (known, new):
        host.close()


def test_a_server_that_is_killed_under_load_loses_nothing_that_was_acknowledged(
    clickhouse: ClickHouse, tmp_path: Path
) -> None:
    url = clickhouse.fresh()
    load = load_through(url, clickhouse.kill, clickhouse.start, tmp_path, rounds=ROUNDS, kind=GUNICORN_THREADS)
    assert set(load.statuses) == {200, 503}
    assert not load.broken
    assert {*load.acknowledged} - {*clickhouse.stored(url)} == set()


def test_a_storage_that_acknowledges_before_clickhouse_has_it_is_found_out(
    clickhouse: ClickHouse, tmp_path: Path
) -> None:
    """Negative control: the same crash must show a loss."""
    url = clickhouse.fresh()
    kind = replace(GUNICORN_THREADS, environment={"SHOP_CLICKHOUSE": url})
    with running(kind, tmp_path, storage=EARLY) as server, Load(server) as load:
        load.wait_for(100)
        clickhouse.kill()
        load.wait_for(len(load.acknowledged) + 100)
        clickhouse.start()
        there = len(clickhouse.stored(url))
        wait_until(lambda: len(clickhouse.stored(url)) > there, "it writes again")
    assert 0 < len({*load.acknowledged} - {*clickhouse.stored(url)}) < len(load.acknowledged)


def test_two_hosts_share_one_clickhouse(clickhouse: ClickHouse, tmp_path: Path) -> None:
    """A row for each acknowledgement, and none that a merge or ``FINAL`` would have to take away."""
    url = clickhouse.fresh()
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with (
        running(UVICORN_H11, folders[0], storage=url) as one,
        running(GUNICORN_THREADS, folders[1], storage=url) as two,
        Load(one, clients=3) as first,
        Load(two, clients=3) as second,
    ):
        first.wait_for(100)
        second.wait_for(100)
        again = [server.post(headers={"Idempotency-Key": "order-4711"}).acknowledged for server in (one, two, one)]
    assert again[0] == again[1] == again[2]
    acknowledged = [*first.acknowledged, *second.acknowledged, *again[0]]
    assert {*first.statuses, *second.statuses} == {200}
    assert not first.broken + second.broken
    assert len({*acknowledged}) == len(acknowledged)
    assert sorted(clickhouse.stored(url)) == sorted(acknowledged)
    assert clickhouse.ask(f"SELECT count() FROM {TABLE}", url) == [[str(len(acknowledged))]]


def write_three_times(url: str, numbers: range) -> None:
    """What each of two processes does."""
    storage = storage_at(url)
    for _ in range(3):
        storage.write([a_stored_event(number) for number in numbers])
    storage.close()


def test_an_id_that_two_processes_send_at_once_is_one_event(clickhouse: ClickHouse) -> None:
    url = clickhouse.fresh()
    numbers = range(50)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(write_three_times, url, numbers) for _ in range(2)]:
            done.result()
    assert sorted(clickhouse.stored(url)) == sorted(a_stored_event(number).id for number in numbers)


def test_workers_that_are_forked_from_a_process_with_connections_have_their_own(
    clickhouse: ClickHouse, tmp_path: Path
) -> None:
    url = clickhouse.fresh()
    with running(GUNICORN_PRELOAD, tmp_path, storage=url) as server, Load(server) as load:
        load.wait_for(200)
    assert set(load.statuses) == {200}
    there = clickhouse.stored(url)
    assert len(there) == len(load.acknowledged) + 1, "and the one of before the fork"
    assert {*load.acknowledged} <= {*there}


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_what_is_acknowledged_is_synchronised_with_the_disk_unless_that_was_relaxed(
    clickhouse: ClickHouse, durability: str
) -> None:
    url = clickhouse.fresh(migrated=False)
    migrate(url, durability=durability)
    storage = storage_at(url)
    counted = "SELECT event, value FROM system.events WHERE event IN ('FileSync', 'DirectorySync')"
    clickhouse.ask("SYSTEM STOP MERGES")  # of other tests, which synchronise too
    try:
        before = dict(clickhouse.ask(counted))
        for number in range(5):
            storage.write([a_stored_event(number)])
        after = dict(clickhouse.ask(counted))
    finally:
        clickhouse.ask("SYSTEM START MERGES")
    synced = [int(after.get(name, 0)) - int(before.get(name, 0)) for name in ("FileSync", "DirectorySync")]
    assert [number >= 5 for number in synced] == [durability == "full"] * 2
    storage.close()
