"""ClickHouse's storage is as the conformance kit says, in ClickHouse's own engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tk_analytics_mw.storage.clickhouse import ClickHouseStorage, Target, engine_target
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.testing import ErasureSuite, FiguresSuite, ReaderSuite, StorageSuite
from tk_analytics_mw.testing.opened import Opened, OpenStorage

pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
pytest.importorskip("clickhouse_connect")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A directory of the engine. A process can have one only."""
    path = tmp_path_factory.mktemp("clickhouse")
    target = engine_target(f"/{path}/engine")
    storage = ClickHouseStorage(target, durability="relaxed")
    storage.migrate()
    yield target
    storage.close()
    shutil.rmtree(path, ignore_errors=True)


class ClickHouse(Opened):
    several_processes = False
    most_examples = 8

    @pytest.fixture
    def open_storage(self, engine: Target) -> OpenStorage:
        storage = ClickHouseStorage(engine, durability="relaxed")
        with storage._connections.working() as client:
            client.command(f"TRUNCATE TABLE {EVENTS}")
        storage.close()
        return lambda: ClickHouseStorage(engine, durability="relaxed")


class TestClickHouseStorage(ClickHouse, StorageSuite): ...


class TestClickHouseReader(ClickHouse, ReaderSuite): ...


class TestClickHouseFigures(ClickHouse, FiguresSuite): ...


class TestClickHouseErasure(ClickHouse, ErasureSuite): ...
