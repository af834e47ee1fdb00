"""ClickHouse's storage is as the conformance kit says, in ClickHouse's own engine."""

from __future__ import annotations

import pytest

from tests.engines.chdb import empty
from tk_analytics_mw.storage.clickhouse import ClickHouseStorage
from tk_analytics_mw.testing import ErasureSuite, FiguresSuite, ReaderSuite, StorageSuite
from tk_analytics_mw.testing.opened import Opened, OpenStorage

pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
pytest.importorskip("clickhouse_connect")


class ClickHouse(Opened):
    several_processes = False
    most_examples = 10

    @pytest.fixture
    def open_storage(self) -> OpenStorage:
        target = empty()
        return lambda: ClickHouseStorage(target, durability="relaxed")


class TestClickHouseStorage(ClickHouse, StorageSuite): ...


class TestClickHouseReader(ClickHouse, ReaderSuite): ...


class TestClickHouseFigures(ClickHouse, FiguresSuite):
    most_examples = 20


class TestClickHouseErasure(ClickHouse, ErasureSuite): ...
