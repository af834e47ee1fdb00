"""What the SQL storage reads, counts and removes is as the conformance kit says, on each of its engines."""

from __future__ import annotations

import pytest

from tests.databases.mariadb import MariaDB
from tests.databases.postgresql import PostgreSQL
from tk_analytics_mw.storage.sql import SqlStorage
from tk_analytics_mw.testing import ErasureSuite, FiguresSuite, ReaderSuite, RefusalSuite, TokenSuite
from tk_analytics_mw.testing.opened import Opened, OpenStorage


class OnPostgreSQL(Opened):
    @pytest.fixture
    def open_storage(self, postgresql: PostgreSQL) -> OpenStorage:
        url = postgresql.emptied()
        return lambda: SqlStorage(url)


class OnMariaDB(Opened):
    @pytest.fixture
    def open_storage(self, mariadb: MariaDB) -> OpenStorage:
        url = mariadb.emptied()
        return lambda: SqlStorage(url)


class TestReaderOnPostgreSQL(OnPostgreSQL, ReaderSuite): ...


class TestFiguresOnPostgreSQL(OnPostgreSQL, FiguresSuite): ...


class TestErasureOnPostgreSQL(OnPostgreSQL, ErasureSuite): ...


class TestTokensOnPostgreSQL(OnPostgreSQL, TokenSuite): ...


class TestRefusalsOnPostgreSQL(OnPostgreSQL, RefusalSuite): ...


class TestReaderOnMariaDB(OnMariaDB, ReaderSuite): ...


class TestFiguresOnMariaDB(OnMariaDB, FiguresSuite): ...


class TestErasureOnMariaDB(OnMariaDB, ErasureSuite): ...


class TestTokensOnMariaDB(OnMariaDB, TokenSuite): ...


class TestRefusalsOnMariaDB(OnMariaDB, RefusalSuite): ...
