"""Bringing the tables up to date. Alembic is imported here and nowhere else: by commands, not by applications."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, text

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.storage.sql.connections import Connections, is_partitioned
from tk_analytics_mw.storage.sql.partitioning import STEP, partition
from tk_analytics_mw.storage.sql.schema import VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS: Final = Path(__file__).with_name("migrations")
_LOCK: Final = 7_011_205_100
"""Of two who migrate together the second waits, and finds everything done. The number is nobody else's."""


def pending(connections: Connections) -> Sequence[str]:
    """See :meth:`MigratedStorage.pending <tk_analytics_mw.storage.migrations.MigratedStorage.pending>`."""
    with connections.unchecked() as connection:
        names = _pending(connection)
        if connections.partitioned and not is_partitioned(connection):
            names.append(STEP)
        return names


def migrate(connections: Connections) -> Sequence[str]:
    """See :meth:`MigratedStorage.migrate <tk_analytics_mw.storage.migrations.MigratedStorage.migrate>`."""
    with connections.unchecked() as connection:
        _lock(connection, connections)
        names = _pending(connection)
        if names:
            config = _config()
            config.attributes["connection"] = connection
            # Alembic begins and ends its transaction itself.
            connection.commit()
            connection.execution_options(isolation_level=connection.default_isolation_level)
            from alembic.command import upgrade

            upgrade(config, "head")
        if connections.partitioned:
            names += partition(connections)
        _unlock(connection, connections)
        return names


def _pending(connection: Connection) -> list[str]:
    config = _config()
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(config)
    found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    known = {each.revision for each in scripts.walk_revisions()}
    if not known.issuperset(found):
        return []  # another host's, of a later version than ours
    return [f"{each.revision} {each.doc}" for each in reversed([*scripts.iterate_revisions("head", found)])]


def _config() -> Config:
    try:
        from alembic.config import Config
    except ModuleNotFoundError as error:
        raise ConfigurationError(f'migrations need {error.name}: pip install "tk_analytics_mw[sql]"') from error
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def _lock(connection: Connection, connections: Connections) -> None:
    ask = "SELECT pg_advisory_lock(:key)" if connections.is_postgresql else "SELECT GET_LOCK(:key, 600)"
    connection.execute(text(ask), {"key": _key(connections)})


def _unlock(connection: Connection, connections: Connections) -> None:
    ask = "SELECT pg_advisory_unlock(:key)" if connections.is_postgresql else "SELECT RELEASE_LOCK(:key)"
    connection.execute(text(ask), {"key": _key(connections)})
    connection.commit()


def _key(connections: Connections) -> int | str:
    return _LOCK if connections.is_postgresql else f"tk_analytics {_LOCK}"
