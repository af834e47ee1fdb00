"""Lists of events by time, and how many they hold."""

from __future__ import annotations

from typing import Any, Final

from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.clickhouse.columns import ROW
from tk_analytics_mw.storage.clickhouse.conditions import Condition, condition
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.rows import COLUMNS

_ORDERS: Final[dict[Order, tuple[str, str]]] = {"newest": ("<", "DESC"), "oldest": (">", "ASC")}
_CREATED_AT: Final = COLUMNS.index("created_at")

# Without FINAL the table is gone along in its own order, from either end, until there is enough.
_PLACES: Final = """
    SELECT toUnixTimestamp64Milli(created_at), position FROM {events} WHERE {where}
    ORDER BY created_at {direction}, position {direction} LIMIT {{limit:UInt64}}
"""
_ROWS: Final = """
    SELECT {row}, position FROM {events} FINAL WHERE {where}
    ORDER BY created_at {direction}, position {direction} LIMIT {{limit:UInt64}} OFFSET {{skip:UInt64}}
"""
_BEHIND: Final = "(created_at, position) {} (parseDateTime64BestEffort({{after:String}}, 3, 'UTC'), {{behind:UInt64}})"


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
    if after is not None:
        where = where.also(_BEHIND.format(behind), after=after.created_at, behind=after.position)
    needed = skip + limit
    # Where it ends, from the few columns that say so; then all columns of what lies before. Of an id that is stored
    # twice the end counts both rows: then the list is too short, and a wider look is taken.
    while True:
        places = connections.rows(
            _PLACES.format(events=EVENTS, where=where.sql, direction=direction), {**where.values, "limit": needed}
        )
        found = _within(connections, where, direction, places[-1][0] if len(places) == needed else None, limit, skip)
        if len(found) == limit or len(places) < needed:
            return found
        needed *= 2


def _within(
    connections: Connections, where: Condition, direction: str, end: int | None, limit: int, skip: int
) -> list[tuple[Any, ...]]:
    if end is not None:
        bound = ">=" if direction == "DESC" else "<="
        where = where.also(f"created_at {bound} fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')", end=end)
    return connections.rows(
        _ROWS.format(row=ROW, events=EVENTS, where=where.sql, direction=direction),
        {**where.values, "limit": limit, "skip": skip},
    )


def count_of(connections: Connections, wanted: Filter, most: int | None) -> int:
    """How many events there are; more than ``most`` are not counted."""
    where = condition(wanted)
    source = f"{EVENTS} FINAL WHERE {where.sql}"
    if most is not None:
        source = f"(SELECT 1 FROM {source} LIMIT {{limit:UInt64}})"
        where = Condition(where.sql, {**where.values, "limit": most + 1})
    [(number,)] = connections.rows(f"SELECT count() FROM {source}", where.values)  # noqa: S608 - fixed words
    return int(number)
