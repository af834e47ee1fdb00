"""What ``doctor`` is told of an SQL database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, text

from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.storage.examination import INNODB, Finding, of_innodb
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.faults import MIGRATE
from tk_analytics_mw.storage.sql.migrating import pending
from tk_analytics_mw.storage.sql.partitioning import examine_partitions


def examine(connections: Connections) -> Iterator[Finding]:
    """See :meth:`ExaminedStorage.examine <tk_analytics_mw.storage.examination.ExaminedStorage.examine>`."""
    try:
        with connections.unchecked() as connection:
            version = ".".join(map(str, connection.dialect.server_version_info or ()))
            yield Finding("ok", f"{connections.where}, version {version}")
            if connections.is_postgresql:
                yield from _postgresql(connection)
                yield from examine_partitions(connection, wanted=connections.partitioned)
            else:
                yield from _mysql(connection)
    except StorageUnavailable as error:
        yield Finding("error", str(error), "Is the server up, and are its address, user and password right?")
        return
    waiting = pending(connections)
    if waiting:
        yield Finding(
            "error", f"the tables are missing or old: {', '.join(waiting)}", f"{MIGRATE[:1].upper()}{MIGRATE[1:]}."
        )
    else:
        yield Finding("ok", "the tables are up to date")


def _postgresql(connection: Connection) -> Iterator[Finding]:
    found = _settings(
        connection,
        "SELECT name, setting FROM pg_settings WHERE name IN "
        "('fsync', 'full_page_writes', 'synchronous_commit', 'transaction_read_only', 'server_encoding')",
    )
    if found.get("fsync") == "off" or found.get("full_page_writes") == "off":
        yield Finding(
            "error",
            "fsync or full_page_writes is off: a power cut can destroy the whole database",
            "Set both to on in postgresql.conf.",
        )
    if found.get("synchronous_commit") == "off":
        yield Finding("ok", "synchronous_commit is off; with durability full each of our transactions has it on")
    if found.get("transaction_read_only") == "on":
        yield Finding("error", "the server takes no writes: it is a standby, or read only", "Name the primary.")
    if found.get("server_encoding") != "UTF8":
        yield Finding(
            "error",
            f"the database's encoding is {found.get('server_encoding')}: it cannot hold every text",
            "Make a database with ENCODING 'UTF8'.",
        )


def _mysql(connection: Connection) -> Iterator[Finding]:
    yield from of_innodb(_settings(connection, INNODB))


def _settings(connection: Connection, question: str) -> Mapping[str, Any]:
    return {str(name).lower(): value for name, value in connection.execute(text(question)).all()}
