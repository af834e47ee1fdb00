"""ClickHouse's storage is as the conformance kit says, over HTTP as well."""

from __future__ import annotations

import pytest

from tests.databases.clickhouse import ClickHouse
from tk_analytics_mw.storage.clickhouse import ClickHouseStorage, server_target
from tk_analytics_mw.testing import ErasureSuite, FiguresSuite, ReaderSuite, StorageSuite
from tk_analytics_mw.testing.opened import Opened, OpenStorage

pytest.importorskip("clickhouse_connect")


class OverHTTP(Opened):
    most_examples = 5

    @pytest.fixture
    def open_storage(self, clickhouse: ClickHouse) -> OpenStorage:
        target = server_target(clickhouse.emptied().removeprefix("clickhouse://"))
        return lambda: ClickHouseStorage(target)


class TestStorageOverHTTP(OverHTTP, StorageSuite): ...


class TestReaderOverHTTP(OverHTTP, ReaderSuite): ...


class TestFiguresOverHTTP(OverHTTP, FiguresSuite): ...


class TestErasureOverHTTP(OverHTTP, ErasureSuite): ...


class InCluster(Opened):
    most_examples = 5

    @pytest.fixture
    def open_storage(self, clickhouse_cluster: ClickHouse) -> OpenStorage:
        target = server_target(clickhouse_cluster.emptied().removeprefix("clickhouse://"))
        return lambda: ClickHouseStorage(target)


class TestStorageInCluster(InCluster, StorageSuite): ...


class TestReaderInCluster(InCluster, ReaderSuite): ...


class TestFiguresInCluster(InCluster, FiguresSuite): ...


class TestErasureInCluster(InCluster, ErasureSuite): ...
