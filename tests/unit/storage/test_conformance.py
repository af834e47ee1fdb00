"""Our own storages are as the conformance kit says: nothing else proves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.storage.sqlite import SqliteStorage
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


class Sqlite(Opened):
    @pytest.fixture
    def open_storage(self, tmp_path: Path) -> OpenStorage:
        return lambda: SqliteStorage(tmp_path / "analytics.db", durability="relaxed")


class Memory(Opened):
    several_processes = False

    @pytest.fixture
    def open_storage(self) -> OpenStorage:
        made = MemoryStorage()
        return lambda: made


class TestSqliteStorage(Sqlite, StorageSuite): ...


class TestSqliteOutbox(Sqlite, OutboxSuite): ...


class TestSqliteReader(Sqlite, ReaderSuite): ...


class TestSqliteFigures(Sqlite, FiguresSuite): ...


class TestSqliteErasure(Sqlite, ErasureSuite): ...


class TestSqliteTokens(Sqlite, TokenSuite): ...


class TestSqliteRefusals(Sqlite, RefusalSuite): ...


class TestMemoryStorage(Memory, StorageSuite): ...


class TestMemoryOutbox(Memory, OutboxSuite): ...


class TestMemoryReader(Memory, ReaderSuite): ...


class TestMemoryErasure(Memory, ErasureSuite): ...


class TestMemoryTokens(Memory, TokenSuite): ...
