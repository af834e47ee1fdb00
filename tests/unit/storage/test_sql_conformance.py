"""The SQL storage is as the conformance kit says, on each of its engines."""

from __future__ import annotations

import pytest

from tests.databases.mariadb import MariaDB
from tests.databases.postgresql import PostgreSQL
from tk_analytics_mw.storage.sql import SqlStorage
from tk_analytics_mw.testing import (
    ErasureSuite,
    FiguresSuite,
    OutboxSuite,
    ReaderSuite,
    RefusalSuite,
    StorageSuite,
    TokenSuite,
)
from tk_analytics_mw.testing.opened import Opened, OpenStorage


class OnPostgreSQL(Opened):
    @pytest.fixture
    def open_storage(self, postgresql: PostgreSQL) -> OpenStorage:
        url = postgresql.emptied()
        return lambda: SqlStorage(url)


class OnPartitions(Opened):
    @pytest.fixture
    def open_storage(self, postgresql: PostgreSQL) -> OpenStorage:
        url = postgresql.emptied(partitioned=True)
        return lambda: SqlStorage(url)


class OnMariaDB(Opened):
    @pytest.fixture
    def open_storage(self, mariadb: MariaDB) -> OpenStorage:
        url = mariadb.emptied()
        return lambda: SqlStorage(url)


class TestStorageOnPostgreSQL(OnPostgreSQL, StorageSuite): ...


class TestOutboxOnPostgreSQL(OnPostgreSQL, OutboxSuite): ...


class TestReaderOnPostgreSQL(OnPostgreSQL, ReaderSuite): ...


class TestFiguresOnPostgreSQL(OnPostgreSQL, FiguresSuite):
    most_examples = 40


class TestErasureOnPostgreSQL(OnPostgreSQL, ErasureSuite): ...


class TestTokensOnPostgreSQL(OnPostgreSQL, TokenSuite): ...


class TestRefusalsOnPostgreSQL(OnPostgreSQL, RefusalSuite): ...


class TestStorageOnPartitions(OnPartitions, StorageSuite): ...


class TestOutboxOnPartitions(OnPartitions, OutboxSuite): ...


class TestReaderOnPartitions(OnPartitions, ReaderSuite):
    most_examples = 10


class TestFiguresOnPartitions(OnPartitions, FiguresSuite):
    most_examples = 10


class TestErasureOnPartitions(OnPartitions, ErasureSuite): ...


class TestStorageOnMariaDB(OnMariaDB, StorageSuite): ...


class TestOutboxOnMariaDB(OnMariaDB, OutboxSuite): ...


class TestReaderOnMariaDB(OnMariaDB, ReaderSuite): ...


class TestFiguresOnMariaDB(OnMariaDB, FiguresSuite):
    most_examples = 40


class TestErasureOnMariaDB(OnMariaDB, ErasureSuite): ...


class TestTokensOnMariaDB(OnMariaDB, TokenSuite): ...


class TestRefusalsOnMariaDB(OnMariaDB, RefusalSuite): ...
