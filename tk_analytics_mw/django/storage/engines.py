"""What differs between databases: how a transaction begins, and how a question ends that takes too long.

Django's ORM says the rest. A database that is not here gets what every one has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from django.db import DatabaseError
from django.db.models import F

from tk_analytics_mw.django.storage.models import Counter, Delivery, Event
from tk_analytics_mw.storage.examination import INNODB, Finding, of_innodb

STEPS: Final = 20_000
"""Of SQLite's virtual machine between two looks at the clock, some 0.2 ms."""

_LARGE: Final = tuple(model._meta.db_table for model in (Event, Delivery))


class Engine:
    """Any database."""

    one_writer = False
    """Whether who writes keeps every other connection from writing."""

    def opened(self, connection: Any, durability: str) -> None:
        """A connection of ours has been opened."""

    def begin_writing(self, connection: Any, durability: str, timeout: float) -> None:
        """A transaction of ours has begun, and is going to write."""

    @contextmanager
    def limit(self, connection: Any, seconds: float) -> Iterator[None]:  # noqa: ARG002 - there is none
        """A transaction of ours has begun, and only reads: no statement is to take longer."""
        yield

    def forget_deleted(self, connection: Any) -> bool:  # noqa: ARG002
        """Have nothing left of deleted rows, as far as a client can. Give whether that is so."""
        return True

    def size(self, connection: Any) -> int:  # noqa: ARG002
        """Bytes of the tables; 0 where that cannot be told."""
        return 0

    def examine(self, connection: Any) -> Iterator[Finding]:  # noqa: ARG002
        """What is to be said of it beside its version."""
        yield from ()


class Sqlite(Engine):
    """SQLite: one writer at a time."""

    one_writer = True

    def opened(self, connection: Any, durability: str) -> None:
        """Durable as it was asked for; and what is deleted is gone, not merely unlinked."""
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")
            cursor.execute("PRAGMA secure_delete=ON")

    def begin_writing(self, connection: Any, durability: str, timeout: float) -> None:  # noqa: ARG002
        """Write at once. One that begins by reading fails where another one writes, however long it would wait."""
        Counter.objects.using(connection.alias).update(last=F("last"))

    @contextmanager
    def limit(self, connection: Any, seconds: float) -> Iterator[None]:
        """SQLite asks us now and then."""
        deadline = time.monotonic() + seconds
        own = connection.connection
        own.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
        try:
            yield
        finally:
            own.set_progress_handler(None, 0)

    def forget_deleted(self, connection: Any) -> bool:
        """Bring everything from a write-ahead log into the file, and cut it."""
        with connection.cursor() as cursor:
            busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy

    def size(self, connection: Any) -> int:
        """Of the file, with what else the project has in it."""
        with connection.cursor() as cursor:
            [pages] = cursor.execute("PRAGMA page_count").fetchone()
            [size] = cursor.execute("PRAGMA page_size").fetchone()
        return int(pages * size)

    def examine(self, connection: Any) -> Iterator[Finding]:
        """How it is written."""
        with connection.cursor() as cursor:
            [mode] = cursor.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            yield Finding(
                "warning",
                f"SQLite's journal mode is {mode}: who reads keeps others from writing",
                'Once: sqlite3 FILE "PRAGMA journal_mode=WAL"',
            )


class Postgresql(Engine):
    """PostgreSQL. All is set for the transaction alone: a pooler may give the connection to somebody else next."""

    def begin_writing(self, connection: Any, durability: str, timeout: float) -> None:
        """Durable as it was asked for, and no longer waiting than it may."""
        commits = "SET LOCAL synchronous_commit = off"
        if durability == "full":  # the host's own may be more than that: with replicas
            commits = (
                "SELECT set_config('synchronous_commit', 'on', true) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
        _execute(
            connection,
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "
            f"SET LOCAL lock_timeout = {int(timeout * 1000)}; {commits}",
        )

    @contextmanager
    def limit(self, connection: Any, seconds: float) -> Iterator[None]:
        """The server counts."""
        _execute(
            connection,
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; "
            f"SET LOCAL statement_timeout = {int(seconds * 1000)}",
        )
        yield

    def forget_deleted(self, connection: Any) -> bool:
        """Let the server clear the places of deleted rows. Its own log and its backups are its operator's."""
        for table in _LARGE:
            _execute(connection, f"VACUUM {table}")
        return True

    def size(self, connection: Any) -> int:
        """Of our tables and their indexes."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_total_relation_size(%s) + pg_total_relation_size(%s)", [*_LARGE])
            return int(cursor.fetchone()[0])

    def examine(self, connection: Any) -> Iterator[Finding]:
        """Whether a commit is on disk."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('fsync')")
            [fsync] = cursor.fetchone()
        if fsync == "off":
            yield Finding("error", "PostgreSQL's fsync is off: a power cut may take everything", "fsync = on")


class Mysql(Engine):
    """MariaDB and MySQL. How durable a commit is they decide for all; what is set here is the connection's, ours."""

    def begin_writing(self, connection: Any, durability: str, timeout: float) -> None:  # noqa: ARG002
        """No longer waiting than it may."""
        _execute(connection, f"SET SESSION innodb_lock_wait_timeout = {max(1, round(timeout))}")

    @contextmanager
    def limit(self, connection: Any, seconds: float) -> Iterator[None]:
        """The server counts."""
        is_mariadb = connection.mysql_is_mariadb
        name, most = ("max_statement_time", seconds) if is_mariadb else ("max_execution_time", round(1000 * seconds))
        _execute(connection, f"SET SESSION {name} = {most}")
        try:
            yield
        finally:
            with suppress(DatabaseError):  # where it is gone there is nothing to set
                _execute(connection, f"SET SESSION {name} = DEFAULT")

    def size(self, connection: Any) -> int:
        """Of our tables and their indexes."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT SUM(data_length + index_length) FROM information_schema.tables "
                "WHERE table_schema = DATABASE() AND table_name IN (%s, %s)",
                [*_LARGE],
            )
            return int(cursor.fetchone()[0] or 0)

    def examine(self, connection: Any) -> Iterator[Finding]:
        """How durable a commit is, and which texts are the same."""
        with connection.cursor() as cursor:
            cursor.execute(INNODB)
            yield from of_innodb(dict(cursor.fetchall()))
            cursor.execute(
                "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = DATABASE() "
                "AND table_name IN (%s, %s) AND collation_name <> 'utf8mb4_bin'",
                [*_LARGE],
            )
            others = [name for (name,) in cursor.fetchall()]
        if others:
            yield Finding(
                "error",
                f"the tables have the collation {', '.join(others)}: it tells not all texts apart, or cannot hold all",
                "ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, for each; and so the database",
            )


def _execute(connection: Any, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


_ENGINES: Final[dict[str, Engine]] = {"sqlite": Sqlite(), "postgresql": Postgresql(), "mysql": Mysql()}
_ANY: Final = Engine()


def engine_of(connection: Any) -> Engine:
    """The engine behind a connection of Django's."""
    return _ENGINES.get(connection.vendor, _ANY)
