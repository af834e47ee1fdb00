"""Events as answers: one, a list, a session, all of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, Final

from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import time_of
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.clickhouse.columns import ROW, id_digits
from tk_analytics_mw.storage.clickhouse.conditions import MOMENT, condition, milliseconds
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.lines import LINE
from tk_analytics_mw.storage.clickhouse.lists import count_of, rows_of
from tk_analytics_mw.storage.clickhouse.positions import last_position
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.clickhouse.sessions import session_of, sessions_of
from tk_analytics_mw.storage.reader import Count, Page, RowSlice, Session, SessionPage, Slice
from tk_analytics_mw.storage.rows import COLUMNS, event_of

SLICE: Final = 20_000
"""Events of one slice of an export, some 12 MB of JSON."""

_CREATED_AT: Final = COLUMNS.index("created_at")
_PLACE: Final = slice(0, len(COLUMNS))

# Which positions a slice has, without FINAL: an index says where they are. (With ties: in a cluster two servers may
# make one position.) Then what is there, with FINAL, in the time that these events are of: mostly a short one.
_BOUNDS: Final = f"""
    SELECT max(position), toUnixTimestamp64Milli(min(created_at)), toUnixTimestamp64Milli(max(created_at)), count()
    FROM (
        SELECT position, created_at FROM {EVENTS}
        WHERE org_id = {{org_id:String}} AND position > {{above:UInt64}} AND position <= {{up_to:UInt64}}
        ORDER BY position LIMIT {{limit:UInt64}} WITH TIES
    )
"""  # noqa: S608
_SLICE: Final = f"""
    SELECT {{columns}} FROM {EVENTS} FINAL
    WHERE position > {{{{above:UInt64}}}} AND position <= {{{{up_to:UInt64}}}} AND {{where}}
        AND created_at >= {MOMENT.format(name="first").replace("{", "{{").replace("}", "}}")}
        AND created_at <= {MOMENT.format(name="last").replace("{", "{{").replace("}", "}}")}
    ORDER BY position, id
"""  # noqa: S608


class ClickHouseReader:
    """Answers questions about the events in ClickHouse.

    Args:
        connections: of the storage.
        check: raises where the tables are not those of today.
    """

    def __init__(self, connections: Connections, check: Callable[[], None]) -> None:
        self._connections = connections
        self._check = check

    def event(self, org_id: str, event_id: str) -> Event | None:
        """See :meth:`Reader.event <tk_analytics_mw.storage.reader.Reader.event>`."""
        self._check()
        if id_digits(event_id) is None:
            return None
        where = condition(Filter(org_id, {"id": event_id}))
        # Our ids say when they were made, which is where the table has them. One from elsewhere is looked for.
        made = where.also(f"created_at = {MOMENT.format(name='made')}", made=milliseconds(time_of(event_id)))
        for each in (made, where):
            rows = self._connections.rows(f"SELECT {ROW} FROM {EVENTS} FINAL WHERE {each.sql}", each.values)  # noqa: S608
            if rows:
                return event_of(rows[0])
        return None

    def events(self, wanted: Filter, order: Order, *, limit: int, skip: int = 0, after: Place | None = None) -> Page:
        """See :meth:`Reader.events <tk_analytics_mw.storage.reader.Reader.events>`."""
        self._check()
        rows = rows_of(self._connections, wanted, order, limit=limit + 1, skip=skip, after=after)
        page = rows[:limit]
        following = Place(page[-1][_CREATED_AT], page[-1][-1]) if page and len(rows) > limit else None
        return Page([event_of(row[_PLACE]) for row in page], following)

    def count(self, wanted: Filter, *, most: int | None = None) -> Count:
        """See :meth:`Reader.count <tk_analytics_mw.storage.reader.Reader.count>`."""
        self._check()
        found = count_of(self._connections, wanted, most)
        return Count(found if most is None else min(found, most), exact=most is None or found <= most)

    def sessions(self, wanted: Filter, *, limit: int, after: Place | None = None) -> SessionPage:
        """See :meth:`Reader.sessions <tk_analytics_mw.storage.reader.Reader.sessions>`."""
        self._check()
        return sessions_of(self._connections, wanted, limit=limit, after=after)

    def session(self, org_id: str, session_id: str) -> Session | None:
        """See :meth:`Reader.session <tk_analytics_mw.storage.reader.Reader.session>`."""
        self._check()
        return session_of(self._connections, org_id, session_id)

    def last_position(self) -> int:
        """See :meth:`Reader.last_position <tk_analytics_mw.storage.reader.Reader.last_position>`.

        It stays behind inserts that still run: see :mod:`tk_analytics_mw.storage.clickhouse.positions`.
        """
        self._check()
        return last_position(self._connections)

    def lines(self, wanted: Filter, *, after: int, until: int) -> Slice:
        """See :meth:`Reader.lines <tk_analytics_mw.storage.reader.Reader.lines>`."""
        rows, position = self._slice(LINE, wanted, after, until)
        return Slice("".join(chain.from_iterable(rows)).encode(), position)

    def rows(self, wanted: Filter, *, after: int, until: int) -> RowSlice:
        """See :meth:`Reader.rows <tk_analytics_mw.storage.reader.Reader.rows>`."""
        return RowSlice(*self._slice(ROW, wanted, after, until))

    def _slice(self, columns: str, wanted: Filter, after: int, until: int) -> tuple[list[tuple[Any, ...]], int]:
        self._check()
        values = {"org_id": wanted.org_id, "above": after, "up_to": until}
        [(last_position, first, last, events)] = self._connections.rows(_BOUNDS, {**values, "limit": SLICE})
        if not events:
            return [], until
        end = int(last_position) if events >= SLICE else until
        where = condition(wanted)
        rows = self._connections.rows(
            _SLICE.format(columns=columns, where=where.sql),
            {**values, **where.values, "up_to": end, "first": first, "last": last},
        )
        return rows, end
