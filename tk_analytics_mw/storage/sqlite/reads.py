"""Events as answers: one, a list, a session, all of them."""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

from tk_analytics_mw.events import Event
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.reader import Count, Page, RowSlice, Session, SessionPage, Slice
from tk_analytics_mw.storage.rows import COLUMNS, event_of, moment_of
from tk_analytics_mw.storage.sqlite.connections import Connections
from tk_analytics_mw.storage.sqlite.filters import condition
from tk_analytics_mw.storage.sqlite.lines import LINE

SLICE: Final = 5_000
"""Positions of one slice of an export: some 15 ms, and 3 MB of JSON."""

_NAMES: Final = ", ".join(COLUMNS)
_PLACE: Final = len(COLUMNS)
_ORDERS: Final[dict[Order, tuple[str, str]]] = {"newest": ("<", "DESC"), "oldest": (">", "ASC")}


class SqliteReader:
    """Answers questions about the events in an SQLite file, each from a snapshot of its own.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

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
        where, values = condition(wanted)
        behind, direction = _ORDERS[order]
        if after is not None:
            where += f" AND (created_at, position) {behind} (?, ?)"
            values += after
        with self._connections.reading() as connection:
            rows = connection.execute(
                f"SELECT {_NAMES}, position FROM events WHERE {where} "  # noqa: S608
                f"ORDER BY created_at {direction}, position {direction} LIMIT ? OFFSET ?",
                (*values, limit + 1, skip),
            ).fetchall()
        return _page(rows, limit)

    def count(self, wanted: Filter, *, most: int | None = None) -> Count:
        """See :meth:`Reader.count <tk_analytics_mw.storage.reader.Reader.count>`."""
        where, values = condition(wanted)
        with self._connections.reading() as connection:
            [found] = connection.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM events WHERE {where} LIMIT ?)",  # noqa: S608
                (*values, -1 if most is None else most + 1),
            ).fetchone()
        return Count(found if most is None else min(found, most), exact=most is None or found <= most)

    def sessions(self, wanted: Filter, *, limit: int, after: Place | None = None) -> SessionPage:
        """See :meth:`Reader.sessions <tk_analytics_mw.storage.reader.Reader.sessions>`."""
        where, values = condition(wanted)
        behind = " AND (created_at, position) < (?, ?)" if after is not None else ""
        places: dict[str, Place] = {}
        with self._connections.reading() as connection:
            walk = connection.execute(
                f"SELECT session_id, created_at, position FROM events WHERE {where}{behind} "  # noqa: S608
                "ORDER BY created_at DESC, position DESC",
                (*values, *(after or ())),
            )
            for session_id, created_at, position in walk:
                if session_id in places:
                    continue
                if after is not None and _is_later(connection, where, values, session_id, after):
                    continue  # it is on an earlier page
                places[session_id] = Place(created_at, position)
                if len(places) > limit:
                    break
            walk.close()
            found = (_session(connection, where, values, session_id) for session_id in [*places][:limit])
            sessions = [session for session in found if session is not None]
        return SessionPage(sessions, [*places.values()][limit - 1] if len(places) > limit else None)

    def session(self, org_id: str, session_id: str) -> Session | None:
        """See :meth:`Reader.session <tk_analytics_mw.storage.reader.Reader.session>`."""
        where, values = condition(Filter(org_id))
        with self._connections.reading() as connection:
            return _session(connection, where, values, session_id)

    def last_position(self) -> int:
        """See :meth:`Reader.last_position <tk_analytics_mw.storage.reader.Reader.last_position>`."""
        with self._connections.reading() as connection:
            return connection.execute("SELECT max(position) FROM events").fetchone()[0] or 0

    def lines(self, wanted: Filter, *, after: int, until: int) -> Slice:
        """See :meth:`Reader.lines <tk_analytics_mw.storage.reader.Reader.lines>`."""
        rows, position = self._slice(LINE, wanted, after, until)
        return Slice(b"".join(chain.from_iterable(rows)), position)

    def rows(self, wanted: Filter, *, after: int, until: int) -> RowSlice:
        """See :meth:`Reader.rows <tk_analytics_mw.storage.reader.Reader.rows>`."""
        return RowSlice(*self._slice(_NAMES, wanted, after, until))

    def _slice(self, columns: str, wanted: Filter, after: int, until: int) -> tuple[list[Any], int]:
        where, values = condition(wanted)
        end = min(after + SLICE, until)
        with self._connections.reading() as connection:
            # NOT INDEXED: by position, the table's own order. However rare what is wanted is, a slice is short.
            rows = connection.execute(
                f"SELECT {columns} FROM events NOT INDEXED "  # noqa: S608
                f"WHERE position > ? AND position <= ? AND {where} ORDER BY position",
                (after, end, *values),
            ).fetchall()
        return rows, end


def _page(rows: list[tuple[Any, ...]], limit: int) -> Page:
    events = [event_of(row[:_PLACE]) for row in rows[:limit]]
    if len(rows) <= limit:
        return Page(events, None)
    return Page(events, Place(rows[limit - 1][COLUMNS.index("created_at")], rows[limit - 1][_PLACE]))


def _is_later(connection: Any, where: str, values: tuple[Any, ...], session_id: str, place: Place) -> bool:
    found = connection.execute(
        f"SELECT 1 FROM events INDEXED BY events_session WHERE session_id = ? AND {where} "  # noqa: S608
        "AND (created_at, position) >= (?, ?) LIMIT 1",
        (session_id, *values, *place),
    )
    return found.fetchone() is not None


def _session(connection: Any, where: str, values: tuple[Any, ...], session_id: str) -> Session | None:
    rows = connection.execute(
        "SELECT event_type, min(created_at), max(created_at), count(*) FROM events INDEXED BY events_session "  # noqa: S608
        f"WHERE session_id = ? AND {where} GROUP BY event_type ORDER BY min(created_at), min(position)",
        (session_id, *values),
    ).fetchall()
    if not rows:
        return None
    return Session(
        session_id,
        first_event=moment_of(min(row[1] for row in rows)),
        last_event=moment_of(max(row[2] for row in rows)),
        events=sum(row[3] for row in rows),
        event_types=[row[0] for row in rows],
    )
