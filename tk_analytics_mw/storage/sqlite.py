"""Events in one SQLite file: the default, good for all the processes of one machine.

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
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

from tk_analytics_mw.errors import ConfigurationError, StorageUnavailable
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.rows import COLUMNS, event_of, row_of

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be moved away
    fcntl = None  # type: ignore[assignment]

logger: Final = logging.getLogger("tk_analytics_mw.storage")

Durability = Literal["full", "relaxed"]

BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for another process's transaction. Four processes writing as fast as they can made
one wait for 1.6 s at the worst."""

_NAMES: Final = ", ".join(COLUMNS)
_ROW: Final = f"({', '.join('?' * len(COLUMNS))})"

# Rows a statement, largest first. One statement of 32 rows takes two thirds of the time of 32 statements,
# and gives up the interpreter's lock once instead of 32 times: under ASGI the event loop competes for it.
# SQLite before 3.32 allows 999 values a statement, later ones 32,766.
_MOST_ROWS: Final = 256 if sqlite3.sqlite_version_info >= (3, 32) else 32
_INSERTS: Final = tuple(
    (rows, f"INSERT INTO events ({_NAMES}) VALUES {', '.join([_ROW] * rows)} ON CONFLICT DO NOTHING")  # noqa: S608
    for rows in (256, 128, 64, 32, 16, 8, 4, 2, 1)
    if rows <= _MOST_ROWS
)
_SELECT_BY_KEY: Final = f"SELECT {_NAMES} FROM events WHERE org_id = ? AND idempotency_key = ?"  # noqa: S608

# The write-ahead log could be reset while another connection still wrote to it: two connections writing
# or checkpointing at the same moment could corrupt the file.
_WAL_RESET_BUG: Final = ((3, 7, 0), (3, 51, 3))


class SqliteStorage:
    """Keeps events in the table ``events`` of an SQLite file, created on first use with mode 0600.

    Args:
        path: of the file. A relative one counts from the working directory of now.
        durability: ``"full"``: what is acknowledged survives a crash and a power cut. ``"relaxed"``: it
            survives a crash of the process; a power cut may take the last seconds.
        busy_timeout: seconds to wait for other processes before :class:`StorageUnavailable`.

    Raises:
        ConfigurationError: there is no directory for the file.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, durability: Durability = "full", busy_timeout: float = BUSY_TIMEOUT
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        if not self.path.parent.is_dir():
            raise ConfigurationError(f"storage: there is no directory {self.path.parent} to put {self.path.name} into")
        if durability not in ("full", "relaxed"):
            raise ConfigurationError(f"durability is 'full' or 'relaxed', not {durability!r}")
        self._synchronous = "FULL" if durability == "full" else "NORMAL"
        self._busy_timeout = busy_timeout
        # By process. Should one be forked behind Python's back, the parent's connection stays here in the child,
        # untouched: to close it would be to use it.
        self._processes: dict[int, _Process] = {}
        _storages.add(self)
        # Without this a host's tests would end with a warning of an unclosed database.
        weakref.finalize(self, _close_own, self._processes)

    def write(self, events: Sequence[Event]) -> Sequence[Event] | None:
        """See :meth:`Storage.write <tk_analytics_mw.storage.base.Storage.write>`."""
        rows = [row_of(event) for event in events]
        keyed = [number for number, event in enumerate(events) if event.idempotency_key is not None]
        process = self._process()
        with process.lock:
            try:
                connection = self._connection(process)
                connection.execute("BEGIN IMMEDIATE")
                _insert(connection, rows)
                first = {number: self._first(connection, events[number]) for number in keyed}
                connection.execute("COMMIT")
            except BaseException as error:
                self._give_up(process)
                if isinstance(error, (sqlite3.OperationalError, OSError)) or type(error) is sqlite3.DatabaseError:
                    raise StorageUnavailable(f"SQLite: {error} ({self.path})") from error
                raise
        return [first.get(number, event) for number, event in enumerate(events)] if keyed else None

    def close(self) -> None:
        """See :meth:`Storage.close <tk_analytics_mw.storage.base.Storage.close>`."""
        process = self._process()
        with process.lock:
            self._give_up(process)

    def _process(self) -> _Process:
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _Process())

    def _connection(self, process: _Process) -> sqlite3.Connection:
        if process.connection is not None and process.file == _identity(self.path):
            return process.connection
        with _one_at_a_time(self.path.parent):
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
            if identity is not None and _identity(path) == identity:
                path.unlink()

    def _first(self, connection: sqlite3.Connection, event: Event) -> Event:
        row = connection.execute(_SELECT_BY_KEY, (event.org_id, event.idempotency_key)).fetchone()
        return event if row is None or row[0] == event.id else event_of(row)

    def _give_up(self, process: _Process) -> None:
        # After a failed fsync or a full disk the connection's idea of the file may be wrong: take a new one.
        connection, process.connection = process.connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.rollback()
            with suppress(sqlite3.Error):
                connection.close()

    def _open(self, process: _Process) -> sqlite3.Connection:
        from tk_analytics_mw.storage.sqlite_schema import migrate  # sqlite-utils takes 70 ms to import

        _warn_of_wal_reset_bug()
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
        connection.execute("BEGIN IMMEDIATE")
        migrate(connection)
        connection.execute("COMMIT")
        process.file = _identity(self.path)
        process.beside = {path: _identity(path) for path in map(self._beside, ("-wal", "-shm"))}
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


_storages: weakref.WeakSet[SqliteStorage] = weakref.WeakSet()
_forking: Final = threading.Lock()  # one fork at a time: two would wait for each other's storages
_held: Final[list[threading.Lock]] = []  # by the thread that forks


def _before_fork() -> None:
    _forking.acquire()
    for storage in list(_storages):
        process = storage._process()
        # Bounded: a signal handler may fork in the middle of a write of its own thread.
        if process.lock.acquire(timeout=2 * storage._busy_timeout + 1):
            _held.append(process.lock)
            storage._give_up(process)
        else:
            logger.error("a process was forked while it wrote to %s: the child must not write there", storage.path)


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
        self.file: tuple[int, int] | None = None  # device and inode of what the connection has open
        self.beside: dict[Path, tuple[int, int] | None] = {}  # those of its log


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()  # stat is safe, other than opening it
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Keep the other processes that open a database in ``directory`` waiting."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _close_own(processes: dict[int, _Process]) -> None:
    process = processes.get(os.getpid())
    if process is not None and process.connection is not None:
        process.connection.close()


def _insert(connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
    done = 0
    for size, statement in _INSERTS:
        while len(rows) - done >= size:
            connection.execute(statement, tuple(chain.from_iterable(rows[done : done + size])))
            done += size


@lru_cache(maxsize=1)  # once a process
def _warn_of_wal_reset_bug() -> None:
    first, fixed = _WAL_RESET_BUG
    if first <= sqlite3.sqlite_version_info < fixed:
        logger.warning(
            "SQLite %s has the WAL-reset bug: two connections that write or checkpoint at the same moment can, "
            "very rarely, corrupt the file. Several worker processes are such connections. It is fixed in SQLite "
            "3.51.3; keep backups until this Python is linked with that or a later one.",
            sqlite3.sqlite_version,
        )
