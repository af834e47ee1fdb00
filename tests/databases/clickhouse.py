"""ClickHouse's engine behind ClickHouse's HTTP interface, in a process of its own."""

from __future__ import annotations

import base64
import http.client
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import pytest

from tests.databases.unprivileged import free_port, listens, own_folder
from tk_analytics_mw.storage.clickhouse import ClickHouseStorage, server_target
from tk_analytics_mw.storage.clickhouse.schema import EVENTS, LOCAL

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds
USER = "shop"
PASSWORD = "hunter2-of-the-shop"


class ClickHouse:
    """A server, and a database with our tables for whoever asks.

    What it is, and what it cannot show: :mod:`tests.databases.clickhouse_server`.
    """

    module = "clickhouse_server"
    table = EVENTS
    """That has the rows."""

    def __init__(self) -> None:
        if find_spec("chdb") is None:
            pytest.skip("ClickHouse's engine has no wheel for this Python")
        self.folder = own_folder("tk-clickhouse-")
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._shared: str | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"tests.databases.{self.module}", str(self.port), str(self.folder)],
                cwd=ROOT,
                env={**os.environ, "SHOP_LOGIN": f"{USER}:{PASSWORD}"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + PATIENCE
        while not listens(self.port):
            assert self._process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()
        self._process.wait()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Have it take connections, and answer nothing."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @property
    def output(self) -> str:
        """What it wrote to its standard streams: every URL that it was asked for, as a proxy before it may."""
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")

    def url(self, database: str, *, password: str = PASSWORD) -> str:
        """Where a database is."""
        return f"clickhouse://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def fresh(self, *, migrated: bool = True) -> str:
        """Make a database that nobody else has. Give its URL."""
        name = f"shop_{next(self._numbers)}"
        self.ask(f"CREATE DATABASE {name}")
        if migrated:
            migrate(self.url(name))
        return self.url(name)

    def emptied(self) -> str:
        """The URL of a database that many tests use, one after the other: each finds it empty."""
        if self._shared is None:
            self._shared = self.fresh()
        self.ask(f"TRUNCATE TABLE {self.table}", self._shared)
        return self._shared

    def ask(self, statement: str, url: str | None = None) -> list[list[str]]:
        """Ask it over a connection of the test's own.

        Args:
            statement: what.
            url: of the database.
        """
        database = "default" if url is None else urlsplit(url).path[1:]
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            where = "/?" + urlencode({"database": database})
            connection.request("POST", where, statement.encode(), {"Authorization": f"Basic {login}"})
            with connection.getresponse() as response:
                told = response.read().decode()
        assert response.status == 200, told
        return [line.split("\t") for line in told.splitlines()]

    def stored(self, url: str) -> list[str]:
        """The ids in a database, each as often as it counts."""
        return [str(UUID(digits)) for (digits,) in self.ask(f"SELECT lower(hex(id)) FROM {EVENTS} FINAL", url)]

    def remove(self) -> None:
        """End it and remove everything."""
        self.kill()
        shutil.rmtree(self.folder)


class ClickHouseCluster(ClickHouse):
    """A cluster of two shards: see :mod:`tests.databases.clickhouse_cluster`."""

    module = "clickhouse_cluster"
    table = LOCAL

    def url(self, database: str, *, password: str = PASSWORD) -> str:
        """Where a database is."""
        return f"{super().url(database, password=password)}?cluster=shards"


def storage_at(url: str, **options: Any) -> ClickHouseStorage:
    """What a URL stands for, for who needs more of it than a storage has."""
    return ClickHouseStorage(server_target(url.removeprefix("clickhouse://")), **options)


def migrate(url: str, **options: Any) -> None:
    """Make the tables."""
    storage = storage_at(url, **options)
    storage.migrate()
    storage.close()
