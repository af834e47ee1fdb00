"""The database at hand: an SQLite file, or one of a server: PostgreSQL's, or MariaDB's where that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases.mariadb import MariaDB
from tests.databases.postgresql import PostgreSQL
from tests.django_storage.databases import ALIAS, by_url, database, emptied, migrated, migrated_file
from tk_analytics_mw.django.storage.opening import open_storage
from tk_analytics_mw.testing.opened import OpenStorage


@pytest.fixture(scope="session")
def postgresql_settings(postgresql: PostgreSQL) -> dict[str, Any]:
    """A database with the tables."""
    settings = by_url(postgresql.fresh(migrated=False))
    migrated(settings)
    return settings


@pytest.fixture(scope="session")
def mariadb_settings(mariadb: MariaDB) -> dict[str, Any]:
    """A database with the tables."""
    settings = by_url(mariadb.fresh(migrated=False, collation="utf8mb4_bin"))
    migrated(settings)
    return settings


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def events_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database under the alias :data:`ALIAS`; gives its vendor."""
    if request.param == "sqlite":
        with migrated_file(tmp_path / "events.db"):
            yield "sqlite"
    else:
        with database(request.getfixturevalue(f"{request.param}_settings")):
            emptied()
            yield request.param


@pytest.fixture
def open_storage_of_django(events_database: str) -> OpenStorage:
    return lambda: open_storage(f"django://{ALIAS}", durability="relaxed", commit_timeout=5.0)


def of_vendor(*vendors: str) -> Any:
    """Parametrise a test with some of the databases."""
    return pytest.mark.parametrize("events_database", vendors, indirect=True)
