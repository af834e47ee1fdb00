"""The way to the database: connections, transactions, forks, and servers that come back.

* Engines are made in each process for itself, when first used. What a fork inherits stays where it is, untouched:
  to close it would be to use it.
* A connection that the server has dropped shows at the first statement of a transaction, which is then begun again on
  another one: nothing is asked beforehand whether it still lives.
* ``synchronous_commit`` is set by each transaction for itself: what a server, a role or a pooler has set does not
  weaken what ``durability="full"`` promises.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tk_analytics_mw.errors import ReadTooLong, StorageUnavailable
from tk_analytics_mw.storage.sql.engines import engine_for
from tk_analytics_mw.storage.sql.faults import MIGRATE, is_missing, is_too_long, translated
from tk_analytics_mw.storage.sql.schema import HEAD, VERSION_TABLE

READ_SECONDS: Final = 5.0
"""How long a statement of a read may take: as long as a snapshot is held, the server cannot clean up behind it."""

COMMIT_TIMEOUT: Final = 5.0
"""Seconds to wait for a connection, and for whoever else writes."""

SYNCHRONOUS: Final = (
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)"
)
"""``full``: at least on this server's disk; further servers if the operator wants that."""

RELAXED: Final = "set_config('synchronous_commit', 'off', true)"

Result = TypeVar("Result")


class Connections:
    """The connections of each process to a database, opened on first use: those that write, and those that read.

    Args:
        source: a URL, or an engine of the host's: then we connect as it does, with a pool of our own.
        durability: see :class:`~tk_analytics_mw.storage.sql.SqlStorage`.
        commit_timeout: seconds to wait for a connection, and for whoever else writes.
        partitioned: whether events are in partitions, see :mod:`.partitions`.
    """

    def __init__(
        self,
        source: URL | Engine,
        *,
        durability: str,
        commit_timeout: float = COMMIT_TIMEOUT,
        partitioned: bool = False,
    ) -> None:
        self._source = source
        self.partitioned = partitioned
        self.commit_timeout = commit_timeout
        self.is_postgresql = self._url.get_backend_name() == "postgresql"
        self.synchronous = SYNCHRONOUS if durability == "full" else RELAXED
        self._processes: dict[int, _Process] = {}
        # Without this a host's tests would end with warnings of unclosed connections.
        weakref.finalize(self, _close_own, self._processes)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A writing transaction. What is done in it is durable when the block is left, or undone if it raises.

        Raises:
            StorageUnavailable: the server is away, full, or has no tables of ours.
        """
        with self._explained(), self._transaction(self._process().writers, self._begin_writing) as connection:
            yield connection

    @contextmanager
    def reading(self, seconds: float = READ_SECONDS, *, few: bool = False) -> Iterator[Connection]:
        """A consistent snapshot that cannot write, and holds up nobody who does.

        Args:
            seconds: after which a statement is given up.
            few: it is about few events, however many there are: no plan may go through all of them.

        Raises:
            ReadTooLong: the time is over.
            StorageUnavailable: the server is away, or has no tables of ours.
        """

        def begin(connection: Connection) -> None:
            self._begin_reading(connection, seconds, few=few)

        try:
            with self._explained(), self._transaction(self._process().readers, begin) as connection:
                yield connection
        except StorageUnavailable as error:
            if isinstance(error.__cause__, DBAPIError) and is_too_long(error.__cause__):
                raise ReadTooLong(seconds) from error
            raise

    def at_once(self, function: Callable[[Connection], Result]) -> Result:
        """Call a function that executes one statement, which is a transaction of its own.

        It is called again if it finds its connection dead: it must not mind that it has been carried out already.

        Raises:
            StorageUnavailable: as for :meth:`writing`.
        """
        with self._explained():
            connection, result = self._first(self._process().writers, function)
            connection.close()
            return result

    def close(self) -> None:
        """Close what this process has open. The next transaction opens it again."""
        process = self._processes.pop(os.getpid(), None)
        if process is not None:
            process.close()

    @property
    def where(self) -> str:
        """Which database, for people: without user and password."""
        url = self._url
        port = f":{url.port}" if url.port else ""
        return f"{url.get_backend_name()} {url.host or ''}{port}/{url.database}"

    @contextmanager
    def unchecked(self) -> Iterator[Connection]:
        """A connection, whatever the state of the tables: for migrations and for who looks the database over."""
        with self._explained():
            engine = engine_for(self._source, kind="writers", patience=self.commit_timeout)
            try:
                with engine.connect() as connection:
                    yield connection
            finally:
                engine.dispose()

    @property
    def _url(self) -> URL:
        return self._source.url if isinstance(self._source, Engine) else self._source

    def _process(self) -> _Process:
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(
            pid, _Process(lambda kind: engine_for(self._source, kind=kind, patience=self.commit_timeout))
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            instead = translated(error, self.where)
            if instead is error:
                raise
            raise instead from error

    @contextmanager
    def _transaction(self, engine: Engine, begin: Callable[[Connection], None]) -> Iterator[Connection]:
        connection, _ = self._first(engine, begin)
        try:
            yield connection
            connection.exec_driver_sql("COMMIT")
        except BaseException as error:
            self._undo(connection, error)
            raise
        finally:
            connection.close()

    def _first(self, engine: Engine, function: Callable[[Connection], Result]) -> tuple[Connection, Result]:
        """Give a living connection, and what ``function`` made of it."""
        connection = engine.connect()
        try:
            self._check_tables(connection)
            return connection, function(connection)
        except BaseException as error:
            self._undo(connection, error)
            connection.close()
            if not isinstance(error, DBAPIError) or not error.connection_invalidated:
                raise
        connection = engine.connect()  # the pool has thrown away everything that was open before
        try:
            return connection, function(connection)
        except BaseException as error:
            self._undo(connection, error)
            connection.close()
            raise

    def _undo(self, connection: Connection, error: BaseException) -> None:
        try:
            if not isinstance(error, Exception):  # in the middle of anything
                connection.invalidate()
            connection.exec_driver_sql("ROLLBACK")
        except SQLAlchemyError:
            with suppress(SQLAlchemyError):
                connection.invalidate()

    def _begin_writing(self, connection: Connection) -> None:
        if self.is_postgresql:
            milliseconds = round(1000 * self.commit_timeout)
            self._say(connection, "BEGIN", f"SET LOCAL lock_timeout = {milliseconds}", f"SELECT {self.synchronous}")
        else:
            connection.exec_driver_sql("START TRANSACTION")

    def _begin_reading(self, connection: Connection, seconds: float, *, few: bool) -> None:
        if self.is_postgresql:
            self._say(
                connection,
                "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
                f"SET LOCAL statement_timeout = {round(1000 * seconds)}",
                # To compile a plan, or to start others that help, takes longer than our questions.
                "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0",
                # Which way is gone does not depend on the values, see walks.py: so it is planned once.
                "SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan"
                if few
                # Groups of 300,000 events, without a way over the disk; a plan for any time took twice as long.
                else "SET LOCAL work_mem = '64MB'; SET LOCAL plan_cache_mode = force_custom_plan",
            )
            return
        if connection.info.get("seconds") != seconds:
            is_mariadb = getattr(connection.dialect, "is_mariadb", False)
            limit = f"max_statement_time = {seconds}" if is_mariadb else f"max_execution_time = {round(1000 * seconds)}"
            connection.exec_driver_sql(f"SET SESSION {limit}")
            connection.info["seconds"] = seconds
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def _say(self, connection: Connection, *statements: str) -> None:
        """In one round trip, where the driver can do that."""
        together = connection.dialect.driver in ("psycopg", "psycopg2")
        for each in ["; ".join(statements)] if together else statements:
            connection.exec_driver_sql(each)

    def _check_tables(self, connection: Connection) -> None:
        process = self._process()
        if process.checked:
            return
        try:
            found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
        except DBAPIError as error:
            if not is_missing(error):
                raise
            found = None
        # A later one than ours is another host's, which has been updated already; what it adds is not asked for here.
        if found is None or found < HEAD:
            raise StorageUnavailable(f"{self.where}: its tables are missing or old: {MIGRATE}")
        if self.partitioned and not is_partitioned(connection):
            raise StorageUnavailable(f"{self.where}: the table of its events has no partitions: {MIGRATE}")
        process.checked = True


def is_partitioned(connection: Connection) -> bool:
    """Whether the table of events is there, and one with partitions (PostgreSQL)."""
    asked = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('tk_analytics_events')"
    return bool(connection.exec_driver_sql(asked).scalar())


class _Process:
    """What one process holds."""

    def __init__(self, make: Callable[[str], Engine]) -> None:
        self.writers = make("writers")
        self.readers = make("readers")
        self.checked = False

    def close(self) -> None:
        self.writers.dispose()
        self.readers.dispose()


def _close_own(processes: dict[int, _Process]) -> None:
    process = processes.pop(os.getpid(), None)
    if process is not None:
        process.close()
