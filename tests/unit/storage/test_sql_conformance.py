"""The SQL storage is as the conformance kit says, on each of its engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from tests.databases.mariadb import MariaDB
from tests.databases.postgresql import PostgreSQL
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.sql import SqlStorage
from tk_analytics_mw.storage.sql.encoding import event_from
from tk_analytics_mw.storage.sql.schema import EVENT, events
from tk_analytics_mw.testing import OutboxSuite, StorageSuite
from tk_analytics_mw.testing.opened import Opened, OpenStorage


class Sql(Opened):
    def stored(self, storage: Any, org_id: str = "acme") -> Sequence[Event]:
        with storage._connections.reading() as connection:
            rows = connection.execute(
                select(*EVENT).where(events.c.org_id == org_id).order_by(events.c.position)
            ).fetchall()
        return [event_from(row) for row in rows]


class OnPostgreSQL(Sql):
    @pytest.fixture
    def open_storage(self, postgresql: PostgreSQL) -> OpenStorage:
        url = postgresql.emptied()
        return lambda: SqlStorage(url)


class OnMariaDB(Sql):
    @pytest.fixture
    def open_storage(self, mariadb: MariaDB) -> OpenStorage:
        url = mariadb.emptied()
        return lambda: SqlStorage(url)


class TestSqlStorageOnPostgreSQL(OnPostgreSQL, StorageSuite): ...


class TestSqlOutboxOnPostgreSQL(OnPostgreSQL, OutboxSuite): ...


class TestSqlStorageOnMariaDB(OnMariaDB, StorageSuite): ...


class TestSqlOutboxOnMariaDB(OnMariaDB, OutboxSuite): ...
