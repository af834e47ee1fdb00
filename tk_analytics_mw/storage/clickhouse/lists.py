"""Lists of events by time, and how many they hold."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Final

from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.clickhouse.columns import ROW
from tk_analytics_mw.storage.clickhouse.conditions import MOMENT, Condition, condition, milliseconds
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.rows import moment_of

_INDEXED: Final = frozenset({"id", "session_id", "user_id"})
_ORDERS: Final[dict[Order, tuple[str, str]]] = {"newest": ("<", "DESC"), "oldest": (">", "ASC")}

WINDOW: Final = 31 * 86_400_000
"""Milliseconds of the stretch that is looked through first: what is frequent is found there, and of the table's months
only one or two are opened. What is not is looked for in all of it."""

# Without FINAL a stretch is gone along in the table's own order, from either end, until there is enough. All of it is
# not: that would open every month at once, where an index of what is rare opens few.
_PLACES: Final = """
    SELECT toUnixTimestamp64Milli(created_at), position FROM {events} WHERE {where}
    ORDER BY created_at {direction}, position {direction} LIMIT {{limit:UInt64}}
    SETTINGS optimize_read_in_order = {in_order}
"""
_ROWS: Final = """
    SELECT {row}, position FROM {events} FINAL WHERE {where}
    ORDER BY created_at {direction}, position {direction} LIMIT {{limit:UInt64}} OFFSET {{skip:UInt64}}
"""
_BEHIND: Final = f"({MOMENT.format(name='after')}, {{behind:UInt64}})"
_FROM: Final = f"created_at >= {MOMENT.format(name='first')}"
_TO: Final = f"created_at <= {MOMENT.format(name='last')}"


def rows_of(
    connections: Connections, wanted: Filter, order: Order, *, limit: int, skip: int, after: Place | None
) -> list[tuple[Any, ...]]:
    """The rows of a part of a list: the columns of events, and the position.

    Args:
        connections: of the storage.
        wanted: which events.
        order: of the list.
        limit: at most so many.
        skip: so many first.
        after: those behind this place.
    """
    behind, direction = _ORDERS[order]
    where = condition(wanted)
    begins = None
    if after is not None:
        begins = milliseconds(moment_of(after.created_at))
        where = where.also(f"(created_at, position) {behind} {_BEHIND}", after=begins, behind=after.position)
    # Where the part ends, from the few columns that say so; then all columns of what lies before. Of an id that is
    # stored twice both rows are seen, so the part may be too short: then a further look is taken.
    needed = skip + limit
    while True:
        end, complete = _end(connections, wanted, where, order, needed=needed, begins=begins)
        if end is None:
            return []
        where_now = where.also(_FROM, first=end) if order == "newest" else where.also(_TO, last=end)
        found = connections.rows(
            _ROWS.format(row=ROW, events=EVENTS, where=where_now.sql, direction=direction),
            {**where_now.values, "limit": limit, "skip": skip},
        )
        if len(found) == limit or complete:
            return found
        needed *= 2


def _end(
    connections: Connections, wanted: Filter, where: Condition, order: Order, *, needed: int, begins: int | None
) -> tuple[int | None, bool]:
    """When the last one is of so many, ``None`` without any; and whether there are no more than those."""
    places: list[tuple[Any, ...]] = []
    for stretch, in_order in ((_stretch(wanted, where, order, begins), 1), (where, 0)):
        if stretch is None:
            continue
        places = connections.rows(
            _PLACES.format(events=EVENTS, where=stretch.sql, direction=_ORDERS[order][1], in_order=in_order),
            {**stretch.values, "limit": needed},
        )
        if len(places) == needed:
            return places[-1][0], False
    return (places[-1][0] if places else None), True


def _stretch(wanted: Filter, where: Condition, order: Order, begins: int | None) -> Condition | None:
    """Where to look first; ``None`` for what an index finds anywhere, and where the beginning is not known."""
    if not _INDEXED.isdisjoint(wanted.equals):
        return None
    if order == "newest":
        latest = wanted.until or datetime.now(timezone.utc)
        return where.also(_FROM, first=min(_known(begins, milliseconds(latest))) - WINDOW)
    starts = _known(begins, None if wanted.since is None else milliseconds(wanted.since))
    return where.also(_TO, last=max(starts) + WINDOW) if starts else None


def _known(*moments: int | None) -> list[int]:
    return [moment for moment in moments if moment is not None]


def count_of(connections: Connections, wanted: Filter, most: int | None) -> int:
    """How many events there are; more than ``most`` are not counted."""
    where = condition(wanted)
    source = f"{EVENTS} FINAL WHERE {where.sql}"
    if most is not None:
        source = f"(SELECT 1 FROM {source} LIMIT {{limit:UInt64}})"  # noqa: S608
        where = Condition(where.sql, {**where.values, "limit": most + 1})
    [(number,)] = connections.rows(f"SELECT count() FROM {source}", where.values)  # noqa: S608 - fixed words
    return int(number)
