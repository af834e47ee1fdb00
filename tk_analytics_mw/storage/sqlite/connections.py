"""The way to the SQLite file: connections, transactions, forks, and files that are exchanged under way.

Rules of this file, each paid for by somebody's data:

* Nothing here opens the database file by any means but SQLite while a connection may be open: closing
  any descriptor of it drops SQLite's locks (sqlite.org/howtocorrupt.html, 2.2).
* One writing connection a process, closed before a fork. SQLite keeps the locks of a process by file: a
  child that inherits that book takes no locks of its own, another process deletes the log that it writes to,
  and half of what it acknowledged is gone (measured: 6 of 12). A thread that is within SQLite during the
  fork leaves SQLite's own mutexes locked in the child for ever.
* ``BEGIN IMMEDIATE``: a transaction that starts by reading fails at once, whatever the busy timeout.
* ``synchronous=FULL``: with NORMAL a power cut lost 3,827 of 181,630 acknowledged rows, with FULL none.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tk_analytics_mw.errors import ConfigurationError, ReadTooLong, StorageUnavailable
from tk_analytics_mw.storage.idle import Idle
from tk_analytics_mw.storage.sqlite.files import identity_of, one_at_a_time, warn_of_wal_reset_bug
from tk_analytics_mw.storage.sqlite.schema import migrate

logger: Final = logging.getLogger("tk_analytics_mw.storage")

BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for another process's transaction. Four processes writing as fast as they can made
one wait for 1.6 s at the worst."""

READ_SECONDS: Final = 5.0
"""How long a read may take. 50,000 events written meanwhile make a write-ahead log of 22 MB."""

STEPS: Final = 20_000
"""Of SQLite's virtual machine between two looks at the clock, some 0.2 ms."""


class Connections:
    """The connections of each process to an SQLite file, opened on first use: one that writes, and those that read.

    Args:
        path: of the file. A relative one counts from the working directory of now.
        synchronous: SQLite's own word: ``FULL`` or ``NORMAL``.
        busy_timeout: seconds to wait for other processes before :class:`StorageUnavailable`.

    Raises:
        ConfigurationError: there is no directory for the file.
    """

    def __init__(self, path: str | os.PathLike[str], *, synchronous: str, busy_timeout: float) -> None:
        self.path = Path(path).expanduser().absolute()
        if not self.path.parent.is_dir():
            raise ConfigurationError(f"storage: there is no directory {self.path.parent} to put {self.path.name} into")
        self._synchronous = synchronous
        self._busy_timeout = busy_timeout
        # By process. Should one be forked behind Python's back, the parent's connection stays here in the child,
        # untouched: to close it would be to use it.
        self._processes: dict[int, _Process] = {}
        _known.add(self)
        # Without this a host's tests would end with a warning of an unclosed database.
        weakref.finalize(self, _close_own, self._processes)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A writing transaction. What is done in it is durable when the block is left, or undone if it raises.

        Raises:
            StorageUnavailable: the file is locked, full, away, or no database.
        """
        with self._writing() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def execute(self, statement: str, values: Sequence[Any]) -> None:
        """A transaction of one statement: SQLite's own, for which the interpreter's lock is given up once.

        Raises:
            StorageUnavailable: as of :meth:`transaction`.
        """
        with self._writing() as connection:
            connection.execute(statement, values)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        process = self._process()
        with process.lock:
            try:
                yield self._connection(process)
            except BaseException as error:
                self._give_up(process)
                if isinstance(error, (sqlite3.OperationalError, OSError)) or type(error) is sqlite3.DatabaseError:
                    raise StorageUnavailable(f"SQLite: {error} ({self.path})") from error
                raise

    @contextmanager
    def reading(self, seconds: float = READ_SECONDS) -> Iterator[sqlite3.Connection]:
        """A consistent snapshot that cannot write, beside the writer, whom it does not hold up.

        Args:
            seconds: after which a statement is given up. As long as a snapshot is held, the write-ahead log
                grows.

        Raises:
            ReadTooLong: the time is over.
            StorageUnavailable: the file is away, or no database.
        """
        process = self._process()
        deadline = time.monotonic() + seconds
        connection = None
        with process.readers.one_more():
            try:
                file = identity_of(self.path)
                connection = process.readers.take(file) or self._open_reader(process)
                connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
                connection.set_progress_handler(None, 0)
                process.readers.put(connection, file)
            except BaseException as error:
                if connection is not None:
                    connection.close()
                if isinstance(error, sqlite3.OperationalError) and time.monotonic() > deadline:
                    raise ReadTooLong(seconds) from error
                if isinstance(error, (sqlite3.OperationalError, OSError)) or type(error) is sqlite3.DatabaseError:
                    logger.warning("SQLite: %s (%s was not read)", error, self.path)
                    raise StorageUnavailable(f"SQLite: {error} ({self.path})") from error
                raise

    def truncate_log(self) -> bool:
        """Bring everything from the write-ahead log into the file and cut the log to nothing.

        Returns:
            Whether that was possible: a reader of what was there before keeps it, a writer too.

        Raises:
            StorageUnavailable: the file is locked, full, away, or no database.
        """
        process = self._process()
        with process.lock:
            try:
                busy: int = self._connection(process).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except (sqlite3.Error, OSError) as error:
                self._give_up(process)
                raise StorageUnavailable(f"SQLite: {error} ({self.path})") from error
        return not busy

    def close(self) -> None:
        """Close what this process has open. The next transaction opens it again."""
        process = self._process()
        with process.lock:
            self._give_up(process)
        process.readers.close()

    def _process(self) -> _Process:
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _Process())

    def _connection(self, process: _Process) -> sqlite3.Connection:
        if process.connection is not None and process.file == identity_of(self.path):
            return process.connection
        with one_at_a_time(self.path.parent):
            if process.connection is not None:
                self._leave_behind(process)
            return self._open(process)

    def _leave_behind(self, process: _Process) -> None:
        """Let go of a file that has been moved, removed or replaced, so that nothing of it gets into the one that
        is now in its place."""
        logger.warning("%s is another file than before: going on with what is there now", self.path)
        with suppress(sqlite3.Error):
            # SQLite itself would not do it any more: what is in the log belongs to the file that has gone.
            process.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # type: ignore[union-attr]
        self._give_up(process)
        for path, identity in process.beside.items():
            if identity is not None and identity_of(path) == identity:
                path.unlink()

    def _give_up(self, process: _Process) -> None:
        # After a failed fsync or a full disk the connection's idea of the file may be wrong: take a new one.
        connection, process.connection = process.connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.rollback()
            with suppress(sqlite3.Error):
                connection.close()

    def _open(self, process: _Process) -> sqlite3.Connection:
        warn_of_wal_reset_bug()
        with suppress(FileExistsError):
            # Before SQLite does it, with 0644. EXCL: a file that was not there has no locks to lose.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            for path in map(self._beside, ("-wal", "-shm")):
                path.unlink(missing_ok=True)  # a log without its file: SQLite would take it for the new one's
        connection = sqlite3.connect(
            self.path, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False
        )
        process.connection = connection
        self._use_wal(connection)
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        connection.execute("PRAGMA secure_delete=ON")  # what is deleted is gone, not merely unlinked
        connection.execute("BEGIN IMMEDIATE")
        migrate(connection)
        connection.execute("COMMIT")
        process.file = identity_of(self.path)
        process.beside = {path: identity_of(path) for path in map(self._beside, ("-wal", "-shm"))}
        return connection

    def _open_reader(self, process: _Process) -> sqlite3.Connection:
        with process.lock:
            self._connection(process)  # there is a file, and its tables are those of today
            process.readers.key = process.file
        connection = sqlite3.connect(
            self.path, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA query_only=ON")
        return connection

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # The one statement that does not honour the busy timeout when several processes start together.
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


_known: weakref.WeakSet[Connections] = weakref.WeakSet()
_forking: Final = threading.Lock()  # one fork at a time: two would wait for each other's connections
_held: Final[list[threading.Lock]] = []  # by the thread that forks


def _before_fork() -> None:
    _forking.acquire()
    for connections in list(_known):
        process = connections._process()
        # Bounded: a signal handler may fork in the middle of a write of its own thread.
        if process.lock.acquire(timeout=2 * connections._busy_timeout + 1):
            _held.append(process.lock)
            connections._give_up(process)
            if not process.readers.close(wait=READ_SECONDS + 1):
                logger.error("a process was forked while it read %s: the child must not use it", connections.path)
        else:
            logger.error("a process was forked while it wrote to %s: the child must not write there", connections.path)


def _after_fork() -> None:
    while _held:
        _held.pop().release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class _Process:
    """What one process holds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None
        self.readers: Idle[sqlite3.Connection] = Idle()
        self.file: tuple[int, int] | None = None  # device and inode of what the connection has open
        self.beside: dict[Path, tuple[int, int] | None] = {}  # those of its log


def _close_own(processes: dict[int, _Process]) -> None:
    process = processes.get(os.getpid())
    if process is not None:
        process.readers.close()
        if process.connection is not None:
            process.connection.close()
