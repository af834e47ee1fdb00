"""Events as answers: one, a list, a session, all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tk_analytics_mw.events import Event
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.reader import Count, Page, RowSlice, Session, SessionPage, Slice
from tk_analytics_mw.storage.rows import COLUMNS, event_of
from tk_analytics_mw.storage.sqlite.connections import Connections
from tk_analytics_mw.storage.sqlite.filters import Condition, condition
from tk_analytics_mw.storage.sqlite.lines import LINE, LINES
from tk_analytics_mw.storage.sqlite.lists import count_of, rows_of
from tk_analytics_mw.storage.sqlite.postings import Postings
from tk_analytics_mw.storage.sqlite.sessions import session_of, sessions_of

SLICE: Final = 5_000
"""Positions of one slice of an export, at the most."""

MOST_LINES: Final = 500
"""Lines of one slice: some 2 ms, and 300 KB, which the network takes at once. So the next ones are made while it sends:
with four times as many, a blocking server was half as fast on a busy machine."""

_NAMES: Final = ", ".join(COLUMNS)
_CREATED_AT: Final = COLUMNS.index("created_at")


class SqliteReader:
    """Answers questions about the events in an SQLite file, each from a snapshot of its own.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._postings = Postings(connections)

    def event(self, org_id: str, event_id: str) -> Event | None:
        """See :meth:`Reader.event <tk_analytics_mw.storage.reader.Reader.event>`."""
        with self._connections.reading() as connection:
            row = connection.execute(
                f"SELECT {_NAMES} FROM events WHERE id = ? AND org_id = ?",  # noqa: S608
                (event_id, org_id),
            ).fetchone()
        return None if row is None else event_of(row)

    def events(self, wanted: Filter, order: Order, *, limit: int, skip: int = 0, after: Place | None = None) -> Page:
        """See :meth:`Reader.events <tk_analytics_mw.storage.reader.Reader.events>`."""
        self._postings.prepare(wanted)
        with self._connections.reading() as connection:
            rows = rows_of(connection, wanted, order, limit=limit + 1, skip=skip, after=after)
        events = [event_of(row[:-1]) for row in rows[:limit]]
        return Page(events, Place(rows[limit - 1][_CREATED_AT], rows[limit - 1][-1]) if len(rows) > limit else None)

    def count(self, wanted: Filter, *, most: int | None = None) -> Count:
        """See :meth:`Reader.count <tk_analytics_mw.storage.reader.Reader.count>`."""
        with self._connections.reading() as connection:
            found = count_of(connection, wanted, most)
        return Count(found if most is None else min(found, most), exact=most is None or found <= most)

    def sessions(self, wanted: Filter, *, limit: int, after: Place | None = None) -> SessionPage:
        """See :meth:`Reader.sessions <tk_analytics_mw.storage.reader.Reader.sessions>`."""
        self._postings.prepare(replace(wanted, equals={"session_id": ""}))
        with self._connections.reading() as connection:
            return sessions_of(connection, wanted, limit=limit, after=after)

    def session(self, org_id: str, session_id: str) -> Session | None:
        """See :meth:`Reader.session <tk_analytics_mw.storage.reader.Reader.session>`."""
        wanted = Filter(org_id)
        self._postings.prepare(replace(wanted, equals={"session_id": session_id}))
        with self._connections.reading() as connection:
            return session_of(connection, wanted, session_id)

    def last_position(self) -> int:
        """See :meth:`Reader.last_position <tk_analytics_mw.storage.reader.Reader.last_position>`."""
        with self._connections.reading() as connection:
            return connection.execute("SELECT max(position) FROM events").fetchone()[0] or 0

    def lines(self, wanted: Filter, *, after: int, until: int) -> Slice:
        """See :meth:`Reader.lines <tk_analytics_mw.storage.reader.Reader.lines>`."""
        end = min(after + SLICE, until)
        select, values = _slice(f"{LINE} AS line, position", wanted, after, end)
        with self._connections.reading() as connection:
            lines, number, last = connection.execute(
                f"SELECT {LINES}, count(*), max(position) FROM ({select} LIMIT ?)",  # noqa: S608
                (wanted.org_id, *values, MOST_LINES),
            ).fetchone()
        return Slice(lines or b"", last if number == MOST_LINES else end)

    def rows(self, wanted: Filter, *, after: int, until: int) -> RowSlice:
        """See :meth:`Reader.rows <tk_analytics_mw.storage.reader.Reader.rows>`."""
        end = min(after + SLICE, until)
        with self._connections.reading() as connection:
            return RowSlice(connection.execute(*_slice(_NAMES, wanted, after, end)).fetchall(), end)


def _slice(columns: str, wanted: Filter, after: int, end: int) -> Condition:
    where, values = condition(wanted)
    # NOT INDEXED: by position, the table's own order. However rare what is wanted is, a slice is short.
    return Condition(
        f"SELECT {columns} FROM events NOT INDEXED "  # noqa: S608
        f"WHERE position > ? AND position <= ? AND {where} ORDER BY position",
        (after, end, *values),
    )
