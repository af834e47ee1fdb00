"""Events as answers: one, a list, a session, all of them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, func, select

from tk_analytics_mw.events import Event
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.reader import Count, Page, RowSlice, Session, SessionPage, Slice
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.encoding import event_from
from tk_analytics_mw.storage.sql.filters import is_id
from tk_analytics_mw.storage.sql.lists import count_of, page_of
from tk_analytics_mw.storage.sql.places import place, some_wait
from tk_analytics_mw.storage.sql.schema import EVENT, events
from tk_analytics_mw.storage.sql.sessions import said_of, sessions_of
from tk_analytics_mw.storage.sql.slices import lines_between, rows_between

_ONE: Final = select(*EVENT).where(
    events.c.id == bindparam("id"), events.c.org_id == bindparam("org_id"), events.c.position.is_not(None)
)


class SqlReader:
    """Answers questions about the events in an SQL database, each from a snapshot of its own.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def event(self, org_id: str, event_id: str) -> Event | None:
        """See :meth:`Reader.event <tk_analytics_mw.storage.reader.Reader.event>`."""
        if not is_id(event_id):
            return None
        with self._connections.reading(few=True) as connection:
            row = connection.execute(_ONE, {"id": event_id, "org_id": org_id}).first()
        return None if row is None else event_from(row)

    def events(self, wanted: Filter, order: Order, *, limit: int, skip: int = 0, after: Place | None = None) -> Page:
        """See :meth:`Reader.events <tk_analytics_mw.storage.reader.Reader.events>`."""
        with self._connections.reading(few=True) as connection:
            return page_of(connection, wanted, order, limit=limit, skip=skip, after=after)

    def count(self, wanted: Filter, *, most: int | None = None) -> Count:
        """See :meth:`Reader.count <tk_analytics_mw.storage.reader.Reader.count>`."""
        with self._connections.reading(few=True) as connection:
            return count_of(connection, wanted, most)

    def sessions(self, wanted: Filter, *, limit: int, after: Place | None = None) -> SessionPage:
        """See :meth:`Reader.sessions <tk_analytics_mw.storage.reader.Reader.sessions>`."""
        with self._connections.reading(few=True) as connection:
            return sessions_of(connection, wanted, limit=limit, after=after)

    def session(self, org_id: str, session_id: str) -> Session | None:
        """See :meth:`Reader.session <tk_analytics_mw.storage.reader.Reader.session>`."""
        with self._connections.reading(few=True) as connection:
            return said_of(connection, Filter(org_id), [session_id]).get(session_id)

    def last_position(self) -> int:
        """See :meth:`Reader.last_position <tk_analytics_mw.storage.reader.Reader.last_position>`."""
        with self._connections.reading() as connection:
            waiting = some_wait(connection)
        if waiting:
            place(self._connections)
        with self._connections.reading() as connection:
            return connection.execute(select(func.max(events.c.position))).scalar() or 0

    def lines(self, wanted: Filter, *, after: int, until: int) -> Slice:
        """See :meth:`Reader.lines <tk_analytics_mw.storage.reader.Reader.lines>`."""
        return lines_between(self._connections, wanted, after, until)

    def rows(self, wanted: Filter, *, after: int, until: int) -> RowSlice:
        """See :meth:`Reader.rows <tk_analytics_mw.storage.reader.Reader.rows>`."""
        return rows_between(self._connections, wanted, after, until)
