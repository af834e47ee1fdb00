"""The storage's own connections to a database of the Django project.

They are not those of Django's threads: what is acknowledged may not hang on a transaction that a view has open
(``ATOMIC_REQUESTS``), and worker threads come and go. Here a few connections are kept by process, and lent to the
thread that writes or reads, under an alias of their own: so QuerySets find them, and nobody else does.

What Django does between two requests is done between two uses: ``CONN_MAX_AGE`` and ``CONN_HEALTH_CHECKS`` hold.

In a test, the storage joins in: within a ``TestCase``, whose transaction is rolled back, and with a database in memory,
it uses the thread's own connection.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db.utils import ConnectionDoesNotExist, load_backend

from tk_analytics_mw.django.storage import migrating, positions
from tk_analytics_mw.django.storage.engines import engine_of
from tk_analytics_mw.errors import ReadTooLong, StorageUnavailable
from tk_analytics_mw.storage.idle import Idle

logger: Final = logging.getLogger("tk_analytics_mw.storage")

READ_SECONDS: Final = 5.0
"""How long a statement that reads may take, on SQLite and PostgreSQL."""

_NOT_OURS: Final = ("pool", "transaction_mode")
"""Options of the host's connections. We have a pool; and a transaction that reads is not to hold up who writes."""


class Connections:
    """Connections of each process, opened on first use.

    Args:
        alias: of the database, in ``DATABASES``.
        durability: ``"full"``: a commit is on the server's disk, whatever the host's own connections are content with.
        timeout: seconds to wait for who writes.
    """

    def __init__(self, alias: str, *, durability: str, timeout: float) -> None:
        self.alias = alias
        self._own = f"{alias} (tk_analytics)"
        self._durability = durability
        self._timeout = timeout
        self._processes: dict[int, _Process] = {}  # that of a parent stays untouched in its children
        _known.add(self)
        # Without this a host's tests would end with a warning of a connection that was not closed.
        weakref.finalize(self, _close_own, self._processes)

    @contextmanager
    def writing(self) -> Iterator[str]:
        """A transaction. What is done in it is durable when the block is left, or undone if it raises.

        Gives:
            The alias for ``using``.

        Raises:
            StorageUnavailable: the database is away, locked or full, or its tables are not there.
        """
        with self.errors(), self._connected() as using:
            connection = connections[using]
            own = using != self.alias
            engine = engine_of(connection)
            if own and engine.one_writer:
                self._check_for_block()
            with self._turn() if own and engine.one_writer else nullcontext(), transaction.atomic(using, durable=own):
                if own:
                    engine.begin_writing(connection, self._durability, self._timeout)
                yield using

    @contextmanager
    def reading(self, seconds: float = READ_SECONDS) -> Iterator[str]:
        """A snapshot, where the database has any. Every event that is committed has its position in it.

        Args:
            seconds: after which a statement is given up.

        Raises:
            ReadTooLong: the time is over.
            StorageUnavailable: the database is away, or its tables are not there.
        """
        deadline = time.monotonic() + seconds
        try:
            with self.errors(), self._connected() as using:
                connection = connections[using]
                own = using != self.alias
                engine = engine_of(connection)
                if positions.missing(using):
                    with suppress(OperationalError), transaction.atomic(using):  # who holds it up gives them as well
                        if own:
                            engine.begin_writing(connection, self._durability, self._timeout)
                        positions.give(using)
                limit = engine.limit(connection, seconds) if own else nullcontext()
                with transaction.atomic(using, durable=own), limit:
                    yield using
        except StorageUnavailable as error:
            if isinstance(error.__cause__, OperationalError) and time.monotonic() > deadline:
                raise ReadTooLong(seconds) from error
            logger.warning("nothing was read: %s", error)
            raise

    @contextmanager
    def outside(self) -> Iterator[Any]:
        """A connection without a transaction.

        Raises:
            StorageUnavailable: the database is away.
        """
        with self.errors(), self._connected() as using:
            yield connections[using]

    def close(self) -> None:
        """Close what is open and not in use in this process. The next use opens it again."""
        self._process().idle.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Say what a database says, on whatever connection, in this package's words.

        Raises:
            StorageUnavailable: nothing can be done now.
        """
        try:
            yield
        except DatabaseError as error:
            if migrating.may_be_old(error) and self._is_old():
                raise StorageUnavailable(migrating.advice(self.alias)) from None
            if isinstance(error, OperationalError) or type(error) is DatabaseError:
                raise StorageUnavailable(f"Django's database {self.alias!r}: {error}") from error
            raise
        except InterfaceError as error:
            if "parameter" in str(error):  # SQLite's word for a value that it cannot hold
                raise
            raise StorageUnavailable(f"Django's database {self.alias!r}: {error}") from error

    def _is_old(self) -> bool:
        try:
            with self._connected() as using:
                return bool(migrating.pending(connections[using]))
        except (DatabaseError, InterfaceError):
            return False  # then that is not what is wrong

    def _check_for_block(self) -> None:
        """On a database with one writer, who is in a transaction must not wait for another connection."""
        for connection in connections.all(initialized_only=True):
            if connection.alias == self.alias and connection.in_atomic_block:
                raise StorageUnavailable(
                    f"this thread has a transaction open on {self.alias!r}, which has one writer at a time: "
                    f"record(…, using={self.alias!r}) has the event in it; or record it after its commit"
                )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One thread at a time: SQLite lets the others look again and again, and is not fair."""
        turn = self._process().turn
        if not turn.acquire(timeout=self._timeout):
            raise StorageUnavailable(f"another thread has written to {self.alias!r} for {self._timeout:g} s")
        try:
            yield
        finally:
            turn.release()

    @contextmanager
    def _connected(self) -> Iterator[str]:
        """Let this thread use a connection, under the alias that is given."""
        if self._joins_in():
            yield self.alias
            return
        idle = self._process().idle
        name = connections.settings[self.alias]["NAME"]  # that of a test is another one
        with idle.one_more():
            connection = idle.take(name) or self._make()
            idle.key = name
            before = _lent(self._own)
            connections[self._own] = connection
            try:
                connection.close_if_unusable_or_obsolete()
                if connection.connection is None:
                    connection.ensure_connection()
                    engine_of(connection).opened(connection, self._durability)
                yield self._own
                connection.close_if_unusable_or_obsolete()
                idle.put(connection, name)
            except BaseException:
                with suppress(Exception):  # what it is now is nothing to go on with, or to be told of
                    connection.close()
                raise
            finally:
                if before is None:
                    del connections[self._own]
                else:
                    connections[self._own] = before

    def _joins_in(self) -> bool:
        settings = connections.settings[self.alias]
        if settings["ENGINE"].endswith("sqlite3") and "mode=memory" in str(settings["NAME"]):
            return True
        for connection in connections.all(initialized_only=True):
            if connection.alias == self.alias:
                blocks = connection.atomic_blocks
                return bool(blocks) and getattr(blocks[0], "_from_testcase", False)
        return False

    def _make(self) -> Any:
        settings = {**connections.settings[self.alias]}
        settings["OPTIONS"] = {name: each for name, each in settings["OPTIONS"].items() if name not in _NOT_OURS}
        settings["ATOMIC_REQUESTS"] = False
        backend = load_backend(settings["ENGINE"])
        if backend.DatabaseWrapper.vendor == "sqlite":
            settings["OPTIONS"]["timeout"] = self._timeout
        elif backend.DatabaseWrapper.vendor == "mysql":
            settings["OPTIONS"].setdefault("charset", "utf8mb4")  # Django's default was less than that until 5.2
        connection = backend.DatabaseWrapper(settings, self._own)
        connection.inc_thread_sharing()
        return connection

    def _process(self) -> _Process:
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _Process())


def _lent(alias: str) -> Any:
    try:
        return connections[alias]
    except ConnectionDoesNotExist:
        return None


class _Process:
    """What one process has."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.idle: Idle[Any] = Idle(_close)


def _close(connection: Any) -> None:
    # Not with its own close(), which refuses a thread that has an event loop: garbage may be collected there, and a
    # fork be made.
    if connection.connection is not None:
        connection.connection.close()
        connection.connection = None


def _close_own(processes: dict[int, _Process]) -> None:
    process = processes.get(os.getpid())
    if process is not None:
        process.idle.close()


_known: weakref.WeakSet[Connections] = weakref.WeakSet()


def _before_fork() -> None:
    # A child must not use what its parent has open; and SQLite keeps the locks of a process by file, so that a child
    # which inherits that book takes none of its own.
    for each in list(_known):
        if not each._process().idle.close(wait=READ_SECONDS + 1):
            logger.error("a process was forked while it used %r: the child must not, if that is SQLite", each.alias)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
