"""A disk that is full, a directory that may not be written, a file that is taken away.

Each server here is a process of its own with a limit on the size of its files: to a program that is
``SIGXFSZ`` ignored and a write that fails, which needs neither root nor a small disk.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.hosts.base import Host, an_event
from tests.servers.running import ROOT, integrity, stored_ids

KIBIBYTE = 1024
LOCKED = 60.0
"""Seconds that a shop here waits for another writer's lock."""


class Shop:
    """A process that answers one request a line: a face, driven in process, under limits of its own."""

    def __init__(self, database: Path, face: str, *, without_rights: bool) -> None:
        self.database = database
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.shop", face, *(["without_rights"] if without_rights else [])],
            cwd=ROOT,
            env={
                **os.environ,
                "SHOP_DATABASE": str(database),
                "SHOP_OPTIONS": json.dumps({"commit_timeout": LOCKED}),
            },
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.acknowledged: list[str] = []

    def ask(self, size: int = 2_000) -> tuple[int, str | None]:
        """Create an event of this size; give the answer's status and its ``Retry-After``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(an_event(eventMetadata={"text": "x" * size})) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._process.communicate()[1]
        status, retry_after, body = json.loads(line)
        if status == 200:
            self.acknowledged.append(json.loads(body)["id"])
        return status, retry_after

    def limit_files(self, size: int | None) -> None:
        """Let no file grow beyond ``size``, or let them again."""
        hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def close(self) -> str:
        """End it; give what it logged."""
        return self._process.communicate(timeout=30)[1]


@contextmanager
def open_shop(database: Path, face: str, *, without_rights: bool = False) -> Iterator[Shop]:
    shop = Shop(database, face, without_rights=without_rights)
    try:
        yield shop
    finally:
        shop.close()


def largest(database: Path) -> int:
    return max(file.stat().st_size for file in database.parent.glob(f"{database.name}*"))


def until_it_is_full(shop: Shop) -> list[str | None]:
    """Send until ten in a row are refused; give the ``Retry-After`` of all that were.

    The first refusal is not the end: the log is then written into the database, and begins anew.
    """
    refused: list[str | None] = []
    in_a_row = 0
    for _ in range(1000):
        status, retry_after = shop.ask()
        assert status in (200, 503)
        in_a_row = in_a_row + 1 if status == 503 else 0
        if status == 503:
            refused.append(retry_after)
        if in_a_row == 10:
            return refused
    raise AssertionError("it never is full: the limit does nothing")


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs a limit that changes while the process runs")
@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_full_disk_is_503_and_nothing_acknowledged_is_lost(tmp_path: Path, face: str) -> None:
    database = tmp_path / "analytics.db"
    with open_shop(database, face) as shop:
        # Negative control: without a limit all of them are stored.
        assert [shop.ask() for _ in range(50)] == [(200, None)] * 50
        assert stored_ids(database) == shop.acknowledged
        for _ in range(2):
            shop.limit_files(largest(database) + 64 * KIBIBYTE)
            refused = until_it_is_full(shop)
            assert all(retry_after is not None and int(retry_after) >= 1 for retry_after in refused)
            # What is there can be read while the disk is full, and it is what was acknowledged.
            assert set(shop.acknowledged) <= set(stored_ids(database))
            assert integrity(database) == "ok"
            shop.limit_files(None)
            assert [shop.ask()[0] for _ in range(20)] == [200] * 20, "it goes on without a restart"
    assert set(shop.acknowledged) <= set(stored_ids(database))
    assert integrity(database) == "ok"


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs a limit that changes while the process runs")
@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_disk_that_is_full_from_the_start_is_503_until_there_is_room(tmp_path: Path, face: str) -> None:
    database = tmp_path / "analytics.db"
    with open_shop(database, face) as shop:
        start = time.monotonic()
        for limit in (0, 8 * KIBIBYTE):  # no room at all, and room for a page or two
            shop.limit_files(limit)
            assert [shop.ask()[0] for _ in range(2)] == [503] * 2
        assert time.monotonic() - start < LOCKED, "it waits for a full disk as if it were a lock"
        shop.limit_files(None)
        assert [shop.ask()[0] for _ in range(3)] == [200] * 3
    assert stored_ids(database) == shop.acknowledged
    assert integrity(database) == "ok"


def take_away(database: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


def move_away(database: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.rename(file.with_name("old-" + file.name))


def replace_by_a_copy(database: Path) -> None:
    copy = database.with_name("copy.db")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    take_away(database)
    copy.rename(database)


@pytest.mark.parametrize("do", [take_away, move_away, replace_by_a_copy], ids=lambda do: do.__name__)
def test_a_file_that_is_taken_away_is_made_again(host: Host, do: Callable[[Path], None]) -> None:
    """A connection that stayed with the old file would acknowledge what nobody can find."""
    before = [host.from_server(an_event(userId="before")).json["id"] for _ in range(3)]
    do(host.database)
    after = [host.from_server(an_event(userId="after")) for _ in range(3)]
    assert [reply.status for reply in after] == [200] * 3
    kept = before if do is replace_by_a_copy else []
    assert stored_ids(host.database) == [*kept, *(reply.json["id"] for reply in after)]
    assert integrity(host.database) == "ok"
    if do is move_away:
        assert stored_ids(host.database.with_name("old-analytics.db")) == before


def test_a_connection_that_stays_with_its_file_writes_where_nobody_finds_it(tmp_path: Path) -> None:
    """Negative control of the test above: nothing tells SQLite, and nothing tells whoever trusts it."""
    database = tmp_path / "plain.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE events (id)")
        replace_by_a_copy(database)
        connection.execute("INSERT INTO events VALUES ('lost')")
        assert stored_ids(database) == []


def test_a_directory_that_is_away_is_503_until_it_is_back(host: Host) -> None:
    assert host.request("GET", "/api/analytics/healthcheck").status == 200  # some read their settings only now
    host.database.parent.rename(host.database.parent.with_name("elsewhere"))
    try:
        reply = host.from_server(an_event())
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) >= 1
    finally:
        host.database.parent.with_name("elsewhere").rename(host.database.parent)
    assert host.from_server(an_event()).status == 200
    assert len(host.rows()) == 1


def test_a_file_that_is_no_database_is_503_and_is_left_as_it_is(host: Host) -> None:
    host.database.write_bytes(b"this is somebody's letter" * 100)
    for _ in range(2):
        assert host.from_server(an_event()).status == 503
    assert host.database.read_bytes() == b"this is somebody's letter" * 100
    host.database.unlink()
    assert host.from_server(an_event()).status == 200


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_directory_that_may_only_be_read_is_503_until_it_may_be_written(tmp_path: Path, face: str) -> None:
    """Root may write anywhere, so as root the process is one without that right."""
    directory = tmp_path / "data"
    directory.mkdir()
    database = directory / "analytics.db"
    with open_shop(database, face, without_rights=os.geteuid() == 0) as shop:
        directory.chmod(0o555)
        assert [shop.ask()[0] for _ in range(2)] == [503] * 2
        assert list(directory.iterdir()) == []
        directory.chmod(0o777)
        assert shop.ask()[0] == 200
        assert stored_ids(database) == shop.acknowledged
