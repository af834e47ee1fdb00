"""When a transaction of the host's has been committed: then events get their positions, and hooks are called.

SQLAlchemy tells of a commit before it happens. That it has happened shows when the connection has another transaction,
or none: looked at when the session's transaction has ended, when the connection goes back to its pool, or when it
begins its next transaction, whichever comes first. A session may sit on a connection whose transaction others end: so
it is always the connection's own that counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, event, select
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import Session

from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.places import place
from tk_analytics_mw.storage.sql.schema import events

logger: Final = logging.getLogger("tk_analytics_mw.storage")


class Write(NamedTuple):
    """Events that were written in a transaction."""

    savepoint: int
    """Its number, of a savepoint that is rolled back if the events are to go."""
    connections: Connections
    """Of our own, to the same database."""
    ids: Sequence[str]
    """Of the events that are new."""
    then: Callable[[], None]
    """To be called after the commit."""


class Watched:
    """A connection of the host's with events in its transaction."""

    def __init__(self, connection: Connection) -> None:
        self.savepoint = 0
        """The last one that was released. SQLAlchemy numbers them; to go back to one undoes all with higher numbers."""
        self.by_session = False
        """Whether a session will tell when it has ended its transaction."""
        self._writes: list[Write] = []
        self._committing: Any = None  # the transaction, not the connection: that one holds us
        event.listen(connection, "release_savepoint", self._on_release)
        event.listen(connection, "rollback_savepoint", self._on_rollback_savepoint)
        event.listen(connection, "commit", self._on_commit)
        event.listen(connection, "commit_twophase", self._on_commit)
        event.listen(connection, "rollback", self._on_rollback)
        event.listen(connection, "rollback_twophase", self._on_rollback)
        event.listen(connection, "begin", self._on_begin)

    def add(self, write: Write) -> None:
        """Wait for the commit of this."""
        self._writes.append(write)

    def look(self, now: Any = None) -> bool:
        """See whether the transaction has been committed, and do what is to be done then.

        Args:
            now: the transaction that the connection has now.
        """
        if self._committing is None or self._committing is now:
            return False
        writes, self._writes, self._committing = self._writes, [], None
        for connections in {id(write.connections): write.connections for write in writes}.values():
            _done([write for write in writes if write.connections is connections], connections)
        return True

    def give_up(self) -> None:
        """The commit has failed."""
        if self._committing is not None:
            self._writes, self._committing = [], None

    def _on_release(self, _connection: Connection, name: str, _context: object) -> None:
        self.savepoint = _number(name)

    def _on_rollback_savepoint(self, _connection: Connection, name: str, _context: object) -> None:
        self._writes = [write for write in self._writes if write.savepoint < _number(name)]

    def _on_commit(self, connection: Connection, *_: object) -> None:
        self._committing = connection.get_transaction() if self._writes else None

    def _on_rollback(self, _connection: Connection, *_: object) -> None:
        self._writes, self._committing = [], None

    def _on_begin(self, _connection: Connection) -> None:
        self.look()


_watched: Final[WeakKeyDictionary[Connection, Watched]] = WeakKeyDictionary()
_of_sessions: Final[WeakKeyDictionary[Session, Watched]] = WeakKeyDictionary()
_engines: Final[WeakSet[Engine]] = WeakSet()
_checked_out: Final[dict[int, Watched]] = {}  # by the id of the driver's connection, until that goes back to its pool


def watch(connection: Connection, session: Session | None) -> Watched:
    """Watch a connection of the host's."""
    watched = _watched.get(connection)
    if watched is None:
        watched = _watched[connection] = Watched(connection)
    if connection.engine not in _engines:
        _engines.add(connection.engine)
        event.listen(connection.engine, "checkin", _on_checkin)
        event.listen(connection.engine, "handle_error", _on_error)
    _checked_out[id(connection.connection.dbapi_connection)] = watched
    if session is not None:
        watched.by_session = True
        if session not in _of_sessions:
            event.listen(session, "after_transaction_end", _on_session_end)
        _of_sessions[session] = watched
    return watched


def _on_checkin(dbapi_connection: object, _record: object) -> None:
    watched = _checked_out.pop(id(dbapi_connection), None)
    # A session has its connection put back first: hooks, which may want one, are to find it in the pool.
    if watched is not None and not watched.by_session:
        watched.look()


def _on_error(context: ExceptionContext) -> None:
    watched = None if context.connection is None else _watched.get(context.connection)
    if watched is not None:
        watched.give_up()


def _on_session_end(session: Session, transaction: Any) -> None:
    watched = _of_sessions.get(session)
    if watched is not None and transaction.parent is None and not watched.look():
        watched.by_session = False  # not committed, or it sits on a connection whose transaction others end


def _done(writes: Sequence[Write], connections: Connections) -> None:
    ids = [id_ for write in writes for id_ in write.ids]
    there = {*ids}
    try:
        if ids:
            place(connections)
            # The database knows of savepoints that were rolled back in words, too.
            found = select(events.c.id).where(events.c.id.in_(ids))
            there = {*connections.at_once(lambda own: own.execute(found).scalars().all())}
    except StorageUnavailable as error:
        logger.warning("events of a transaction get their positions later: %s", error)
    for write in writes:
        if write.ids and there.isdisjoint(write.ids):
            continue
        try:
            write.then()
        except Exception:
            logger.exception("what was to be done after a commit failed")


def _number(savepoint: str) -> int:
    digits = savepoint.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0
