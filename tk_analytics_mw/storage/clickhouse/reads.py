"""Events as answers: one, a list, a session, all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import time_of, timestamp
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.clickhouse.columns import LINE, event_of_record, id_digits, row_of_record
from tk_analytics_mw.storage.clickhouse.conditions import MOMENT, condition, milliseconds
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.lists import count_of, page_of
from tk_analytics_mw.storage.clickhouse.positions import last_position
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.clickhouse.sessions import session_of, sessions_of
from tk_analytics_mw.storage.reader import Count, Page, RowSlice, Session, SessionPage, Slice

SLICE: Final = 4_000
"""Events of one slice of an export, some 3 MB of JSON. With 10,000 a third more events get through, for half as much
memory again."""

STRETCH: Final = 86_400_000 << 22
"""Positions of a day: how far the first slice is looked for at first."""

# Which positions a slice has, without FINAL: an index says where they are. (With ties: in a cluster two servers may
# make one position.) Then what is there, with FINAL, in the time that these events are of: mostly a short one.
_BOUNDS: Final = f"""
    SELECT min(position), max(position), count(),
        toUnixTimestamp64Milli(min(created_at)), toUnixTimestamp64Milli(max(created_at))
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
        self._stretch = STRETCH  # what the last slice took: the next one will take about as much

    def event(self, org_id: str, event_id: str) -> Event | None:
        """See :meth:`Reader.event <tk_analytics_mw.storage.reader.Reader.event>`."""
        self._check()
        if id_digits(event_id) is None:
            return None
        where = condition(Filter(org_id, {"id": event_id}))
        # Our ids say when they were made, which is where the table has them. One from elsewhere is looked for.
        made = where.also(f"created_at = {MOMENT.format(name='made')}", made=milliseconds(time_of(event_id)))
        for each in (made, where):
            rows = self._connections.rows(f"SELECT record FROM {EVENTS} FINAL WHERE {each.sql}", each.values)  # noqa: S608
            for (record,) in rows:
                return event_of_record(record)
        return None

    def events(self, wanted: Filter, order: Order, *, limit: int, skip: int = 0, after: Place | None = None) -> Page:
        """See :meth:`Reader.events <tk_analytics_mw.storage.reader.Reader.events>`."""
        self._check()
        found, count = page_of(self._connections, wanted, order, limit=limit + 1, skip=skip, after=after)
        events = [event_of_record(record) for record, _ in found[:limit]]
        following = Place(timestamp(events[-1].created_at), found[limit - 1][1]) if len(found) > limit else None
        return Page(events, following, count)

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
        lines, position = self._slice(LINE, wanted, after, until)
        return Slice(b"".join(lines), position)

    def rows(self, wanted: Filter, *, after: int, until: int) -> RowSlice:
        """See :meth:`Reader.rows <tk_analytics_mw.storage.reader.Reader.rows>`."""
        records, position = self._slice("record", wanted, after, until)
        return RowSlice([row_of_record(record) for record in records], position)

    def _slice(self, column: str, wanted: Filter, after: int, until: int) -> tuple[Sequence[bytes], int]:
        self._check()
        values = {"org_id": wanted.org_id, "above": after, "limit": SLICE}
        stretch = self._stretch
        while True:
            # In a stretch that has enough, so that what lies behind it need not be sorted to find the first ones.
            end = min(after + stretch, until)
            [(start, last_position, events, first, last)] = self._connections.rows(_BOUNDS, {**values, "up_to": end})
            if events >= SLICE or end == until:
                break
            stretch *= 8
        if not events:
            return [], until
        if events >= SLICE:
            end = int(last_position)
            self._stretch = 2 * max(end - int(start), 1)
        where = condition(wanted, hints=False)
        column_values = self._connections.column(
            _SLICE.format(columns=column, where=where.sql),
            {**where.values, "above": after, "up_to": end, "first": first, "last": last},
        )
        return column_values, end
