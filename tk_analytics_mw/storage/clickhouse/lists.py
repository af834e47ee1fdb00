"""Lists of events by time, and how many they hold."""

from __future__ import annotations

from typing import Final

from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.clickhouse.conditions import MOMENT, Condition, condition, milliseconds
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.clickhouse.times import AT_ONCE, FEW, times_of
from tk_analytics_mw.storage.rows import moment_of

MOMENTS: Final = 1_000
"""So many are looked up one by one; what lies between more of them is read as well."""

_ORDERS: Final[dict[Order, tuple[str, str]]] = {"newest": ("<", "DESC"), "oldest": (">", "ASC")}
_RECORDS: Final = """
    SELECT record, position FROM {events} FINAL WHERE {where}
    ORDER BY created_at {direction}, position {direction} LIMIT {{limit:UInt64}} OFFSET {{skip:UInt64}}
"""
_BEHIND: Final = f"({MOMENT.format(name='after')}, {{behind:UInt64}})"
_AT: Final = "created_at IN {moments:Array(DateTime64(3, 'UTC'))}"
_BETWEEN: Final = f"created_at >= {MOMENT.format(name='first')} AND created_at <= {MOMENT.format(name='last')}"


def records_of(
    connections: Connections, wanted: Filter, order: Order, *, limit: int, skip: int, after: Place | None
) -> list[tuple[str, int]]:
    """The records and positions of a part of a list.

    Args:
        connections: of the storage.
        wanted: which events.
        order: of the list.
        limit: at most so many.
        skip: so many first.
        after: those behind this place.
    """
    behind, direction = _ORDERS[order]
    where = condition(wanted, hints=False)
    number = skip + limit
    if after is not None:
        begins = milliseconds(moment_of(after.created_at))
        where = where.also(f"(created_at, position) {behind} {_BEHIND}", after=begins, behind=after.position)
        number += 1
    # When they were; then all of what there was at these moments. Of an id that is stored twice both rows have a time,
    # and of the events of one moment some may lie before the place, so the part may be too short: then a further look
    # is taken.
    while times := times_of(connections, wanted, order, number=number, after=after):
        at = _at(where, times)
        found = connections.rows(
            _RECORDS.format(events=EVENTS, where=at.sql, direction=direction),
            {**at.values, "limit": limit, "skip": skip},
        )
        if len(found) == limit or len(times) < number:
            return [(record, position) for record, position in found]
        number *= 2
    return []


def _at(where: Condition, times: list[int]) -> Condition:
    moments = sorted({*times})
    if len(moments) > MOMENTS:
        return where.also(_BETWEEN, first=moments[0], last=moments[-1])
    return where.also(_AT, moments=[f"{moment / 1000:.3f}" for moment in moments])


def count_of(connections: Connections, wanted: Filter, most: int | None) -> int:
    """How many events there are; more than ``most`` are not counted."""
    if most is None:
        where = condition(wanted)
        [(number,)] = connections.rows(f"SELECT count() FROM {EVENTS} FINAL WHERE {where.sql}", where.values)  # noqa: S608
        return int(number)
    # An index is of use where there are few. There their moments are looked up, which FINAL need not do then. Others
    # are counted from the beginning until there are enough.
    where = condition(wanted, hints=False)
    if not FEW.isdisjoint(wanted.equals):
        times = times_of(connections, wanted, "newest", number=most + 1, after=None)
        if not times:
            return 0
        if len(times) <= most:  # and there are no more
            where = _at(where, times)
    sql = (
        f"SELECT count() FROM (SELECT 1 FROM {EVENTS} FINAL WHERE {where.sql} LIMIT {{limit:UInt64}}) "  # noqa: S608
        f"SETTINGS {AT_ONCE}"
    )
    [(number,)] = connections.rows(sql, {**where.values, "limit": most + 1})
    return int(number)
