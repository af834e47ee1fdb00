"""A database server that crashes or restarts under load: what was acknowledged is in it, and all goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

from sqlalchemy import NullPool, create_engine, select

from tests.databases.mariadb import MariaDB
from tests.databases.postgresql import Mode, PostgreSQL
from tests.faults.crashes import load_through
from tests.servers.running import GUNICORN_PRELOAD, GUNICORN_THREADS, UVICORN_H11, Load, running, wait_until
from tk_analytics_mw.storage.sql.engines import url_of
from tk_analytics_mw.storage.sql.schema import events

ROUNDS = 10
FEWER = 3


def stored(url: str) -> list[str]:
    """The ids in the database, over a connection of the test's own."""
    engine = create_engine(url_of(url), poolclass=NullPool)
    with engine.connect() as connection:
        return [*connection.execute(select(events.c.id)).scalars()]


def test_a_postgresql_that_crashes_or_restarts_loses_nothing_that_was_acknowledged(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    """Even where its own setting says that commits need not wait: each of our transactions has that on."""
    url = postgresql.fresh()
    postgresql.run(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    modes: Iterator[Mode] = chain(["fast"], repeat("immediate"))
    load = load_through(
        url, lambda: postgresql.stop(next(modes)), postgresql.start, tmp_path, rounds=ROUNDS + 1, kind=GUNICORN_THREADS
    )
    assert set(load.statuses) == {200, 503}
    assert not load.broken
    assert {*load.acknowledged} - {*stored(url)} == set()


def test_commits_that_wait_for_no_log_are_found_out(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """Negative control: ``relaxed`` turns ``synchronous_commit`` off, and the same crashes must show a loss."""
    url = postgresql.fresh()
    load = load_through(
        url,
        lambda: postgresql.stop("immediate"),
        postgresql.start,
        tmp_path,
        rounds=FEWER,
        kind=GUNICORN_THREADS,
        durability="relaxed",
    )
    lost = {*load.acknowledged} - {*stored(url)}
    assert 0 < len(lost) < len(load.acknowledged)


def test_a_mariadb_that_is_killed_loses_nothing_that_was_acknowledged(mariadb: MariaDB, tmp_path: Path) -> None:
    url = mariadb.fresh()
    load = load_through(url, mariadb.kill, mariadb.start, tmp_path, rounds=FEWER, kind=UVICORN_H11)
    assert set(load.statuses) == {200, 503}
    assert {*load.acknowledged} - {*stored(url)} == set()


def test_workers_that_are_forked_from_a_process_with_connections_have_their_own(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    url = postgresql.fresh()
    with running(GUNICORN_PRELOAD, tmp_path, storage=url) as server, Load(server) as load:
        load.wait_for(300)
    assert set(load.statuses) == {200}
    assert not load.broken
    there = stored(url)
    assert len(there) == len({*there}) == len(load.acknowledged) + 1, "and the one of before the fork"
    assert {*load.acknowledged} <= {*there}


def test_two_hosts_and_two_deliverers_share_one_postgresql(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """As processes of one machine share an SQLite file: each event once, each delivery once."""
    url, log = postgresql.fresh(), tmp_path / "calls"
    log.touch()  # it is read before anybody may have been called
    kind = replace(UVICORN_H11, environment={"SHOP_CALL_LOG": str(log), "SHOP_CALL_KIND": "durable"})
    options = {"storage": url, "deliver_in_process": True}
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with running(kind, folders[0], **options) as one, running(kind, folders[1], **options) as two:
        with Load(one, clients=2) as first, Load(two, clients=2) as second:
            first.wait_for(60)
            second.wait_for(60)
        acknowledged = [*first.acknowledged, *second.acknowledged]
        began = log.read_text().count("began")
        wait_until(lambda: log.read_text().count("ended") >= len(acknowledged), f"all delivered; {began} had begun")
    assert sorted(stored(url)) == sorted(acknowledged)
    calls = [line.split() for line in log.read_text().splitlines() if line.startswith("began")]
    assert sorted(event_id for _, event_id, _, _ in calls) == sorted(acknowledged)
    assert len({process for _, _, process, _ in calls}) == 2, "both deliver"
