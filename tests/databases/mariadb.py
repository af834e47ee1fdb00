"""MariaDB, where its server is installed."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time

import pytest
from sqlalchemy import create_engine, text

from tests.databases.emptying import empty
from tests.databases.unprivileged import as_somebody, free_port, listens, own_folder
from tk_analytics_mw.storage.sql import SqlStorage

PROGRAM = "mariadbd"
MISSING = f"{PROGRAM} is missing: apt-get install --no-install-recommends mariadb-server"
USER = "shop:secret"


def find() -> str | None:
    """Where the server is; it may not be missing where everything has to pass."""
    found = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found or "REQUIRE_MARIADB" not in os.environ, MISSING
    return found


class MariaDB:
    """A server, and a database with our tables for whoever asks."""

    def __init__(self) -> None:
        program = find()
        if program is None:
            pytest.skip(MISSING)
        self._program = program
        self.folder = own_folder("tk-mariadb-")
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._shared: str | None = None
        install = shutil.which("mariadb-install-db")
        assert install is not None
        self._output = (self.folder / "output").open("wb")
        # A server that starts clears away what it finds there, be it of another one that starts.
        self._environment = {**os.environ, "TMPDIR": str(self.folder)}
        subprocess.run(
            [
                install,
                "--no-defaults",
                f"--datadir={self.folder}/data",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-log-file-size=8M",
            ],
            stdout=self._output,
            stderr=self._output,
            cwd=self.folder,
            env=self._environment,
            check=True,
            timeout=60,
            **as_somebody(),
        )
        self.start()
        self._admin(f"CREATE USER shop@'127.0.0.1' IDENTIFIED BY '{USER.partition(':')[2]}'")
        self._admin("GRANT ALL ON *.* TO shop@'127.0.0.1'")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                self._program,
                "--no-defaults",
                f"--datadir={self.folder}/data",
                f"--socket={self.folder}/socket",
                f"--pid-file={self.folder}/pid",
                f"--port={self.port}",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                # The operating system outlives the server, and with it what was written.
                "--innodb-flush-method=nosync",
                "--innodb-log-file-size=8M",
                "--innodb-buffer-pool-size=32M",
            ],
            stdout=self._output,
            stderr=self._output,
            cwd=self.folder,
            env=self._environment,
            **as_somebody(),
        )
        deadline = time.monotonic() + 30
        while not listens(self.port):
            assert time.monotonic() < deadline, (self.folder / "output").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """Have it crash."""
        self._process.kill()
        self._process.wait()

    def url(self, database: str) -> str:
        """Where a database is."""
        return f"mariadb+pymysql://{USER}@127.0.0.1:{self.port}/{database}"

    def fresh(self, *, migrated: bool = True, collation: str | None = None) -> str:
        """Make a database that nobody else has. Give its URL."""
        name = f"shop_{next(self._numbers)}"
        self._admin(f"CREATE DATABASE {name}{f' COLLATE {collation}' if collation else ''}")
        if migrated:
            storage = SqlStorage(self.url(name))
            storage.migrate()
            storage.close()
        return self.url(name)

    def emptied(self) -> str:
        """The URL of a database that many tests use, one after the other: each finds it empty."""
        if self._shared is None:
            self._shared = self.fresh()
        empty(self._shared)
        return self._shared

    def remove(self) -> None:
        """Stop it and remove everything."""
        self.kill()
        self._output.close()
        shutil.rmtree(self.folder)

    def _admin(self, statement: str) -> None:
        engine = create_engine(
            f"mariadb+pymysql://root@127.0.0.1/?unix_socket={self.folder}/socket", isolation_level="AUTOCOMMIT"
        )
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()
