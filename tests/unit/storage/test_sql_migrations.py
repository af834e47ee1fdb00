"""The tables of the SQL storage are made and changed by migrations, beside those of the host."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from tests.databases.mariadb import MariaDB
from tests.databases.postgresql import PostgreSQL
from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.storage.migrations import MigratedStorage
from tk_analytics_mw.storage.sql import SqlStorage, migrating
from tk_analytics_mw.storage.sql.schema import HEAD, VERSION_TABLE, metadata
from tk_analytics_mw.testing.making import an_event

ALL = ["0001 Create the tables."]


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> PostgreSQL | MariaDB:
    """Of either kind."""
    found: PostgreSQL | MariaDB = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def url(server: PostgreSQL | MariaDB) -> str:
    """Of a database without tables."""
    return server.fresh(migrated=False)


def look(storage: SqlStorage, question: str) -> Sequence[Any]:
    with storage._connections.unchecked() as connection:
        return connection.execute(text(question)).scalars().all()


POSTGRESQL = """
    SELECT table_name, column_name, concat_ws(' ', ordinal_position, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT '', proname, regexp_replace(prosrc, '\\s+', ' ', 'g') FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
"""


def definitions(storage: SqlStorage) -> set[tuple[str, ...]]:
    """What the engine knows of the tables but that of migrations: their columns, indexes, triggers, and all else."""
    with storage._connections.unchecked() as connection:
        if storage._connections.is_postgresql:
            found = {tuple(row) for row in connection.exec_driver_sql(POSTGRESQL)}
        else:
            names = inspect(connection).get_table_names()
            made = [connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one() for name in names]
            # In whatever order the indexes were made.
            found = {
                (name, line.strip().strip(",")) for name, text in made for line in text.splitlines() if "KEY" in line
            }
            found |= {(name, text.partition("KEY")[0], text.rpartition(")")[2]) for name, text in made}
    return {each for each in found if each[0] != VERSION_TABLE}


def test_migrations_make_the_tables_that_the_code_expects(server: PostgreSQL | MariaDB, url: str) -> None:
    storage = SqlStorage(url)
    assert isinstance(storage, MigratedStorage)
    assert storage.pending() == ALL
    assert storage.migrate() == ALL
    assert (storage.pending(), storage.migrate()) == ([], [])
    storage.write([an_event(1)])
    expected = SqlStorage(server.fresh(migrated=False))
    with expected._connections.unchecked() as connection:
        metadata.create_all(connection)
    made = definitions(storage)
    assert len(made) > 9
    assert made == definitions(expected)
    storage.close()


def test_the_newest_migration_is_the_one_that_is_asked_for() -> None:
    assert ScriptDirectory(str(migrating._SCRIPTS)).get_current_head() == HEAD


def test_the_hosts_own_migrations_and_tables_are_left_alone(url: str) -> None:
    storage = SqlStorage(url)
    with storage._connections.unchecked() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('the host has this')"))
    storage.migrate()
    assert look(storage, "SELECT version_num FROM alembic_version") == ["the host has this"]
    with storage._connections.unchecked() as connection:
        names = {*inspect(connection).get_table_names()} - {"alembic_version"}
    assert names == {*metadata.tables, VERSION_TABLE}
    assert all(name.startswith("tk_analytics_") for name in names)


def test_several_hosts_that_migrate_together_do_it_once(url: str) -> None:
    done: list[str] = []
    threads = [threading.Thread(target=lambda: done.extend(SqlStorage(url).migrate())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == ALL


def test_a_process_that_found_no_tables_finds_them_once_they_are_there(url: str) -> None:
    storage = SqlStorage(url)
    with pytest.raises(StorageUnavailable, match="run tk-analytics migrate"):
        storage.write([an_event(1)])
    SqlStorage(url).migrate()
    storage.write([an_event(1)])
    storage.close()


def test_an_older_version_of_ours_goes_on_beside_a_newer_one(url: str) -> None:
    """Hosts are updated one after the other."""
    storage = SqlStorage(url)
    storage.migrate()
    with storage._connections.unchecked() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    storage.write([an_event(1)])
    assert (storage.pending(), storage.migrate()) == ([], [])
    storage.close()


def test_tables_that_go_while_a_process_runs_are_missed_by_name(url: str) -> None:
    storage = SqlStorage(url)
    storage.migrate()
    storage.write([an_event(1)])
    with storage._connections.unchecked() as connection:
        connection.execute(text("DROP TABLE tk_analytics_events"))
    with pytest.raises(StorageUnavailable, match="run tk-analytics migrate"):
        storage.write([an_event(2)])
    storage.close()
