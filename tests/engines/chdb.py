"""ClickHouse's own engine, in the process of the tests: it takes one directory a process, so all tests share it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import lru_cache

from tk_analytics_mw.storage.clickhouse import ClickHouseStorage, Target, engine_target
from tk_analytics_mw.storage.clickhouse.schema import EVENTS

# With the last connection the engine ends, and leaves files open: some fifteen each time.
_open: list[ClickHouseStorage] = []


@lru_cache
def engine() -> Target:
    """Where it is, with the tables of today."""
    folder = tempfile.mkdtemp(prefix="clickhouse-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = engine_target(f"/{folder}/engine")
    storage = ClickHouseStorage(target, durability="relaxed")
    storage.migrate()
    _open.append(storage)
    return target


def empty() -> Target:
    """The same with nothing in its tables."""
    target = engine()
    storage = ClickHouseStorage(target, durability="relaxed")
    with storage._connections.working() as client:
        client.command(f"TRUNCATE TABLE {EVENTS}")
    storage.close()
    return target
