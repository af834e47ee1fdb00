"""Lists of events by time, and how many they hold."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.clickhouse.conditions import MOMENT, Condition, condition, milliseconds
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.clickhouse.settled import settled
from tk_analytics_mw.storage.clickhouse.times import AT_ONCE, FEW, Times, times_of
from tk_analytics_mw.storage.reader import COUNTED, Count
from tk_analytics_mw.storage.rows import moment_of

MOMENTS: Final = 1_000
"""So many are looked up one by one; what lies between more of them is read as well."""

PLACES: Final = 24
"""Parts of the table that are read at once, though the page has not the events of all: this counts them as well. A
question of its own for that takes as long as many more."""

APART: Final = 1_800_000
"""Milliseconds after which an event is in another place: what a shopper does in a visit is in one."""

OWNERS: Final = ("session_id", "user_id")
"""Columns of whose values there are mostly so few events that all of a value are read at once."""

OWNED: Final = 200
"""Events that are so read. Of a value that has more the page is read."""

_ORDERS: Final[dict[Order, tuple[str, str]]] = {"newest": ("<", "DESC"), "oldest": (">", "ASC")}
_RECORDS: Final = """
    SELECT record, position, count() OVER () FROM {events} FINAL WHERE {where}
    ORDER BY created_at {direction}, position {direction} LIMIT {{limit:UInt64}} OFFSET {{skip:UInt64}}
"""
# From the granules that have the owner's events alone, in which the texts are read of these only.
_OWNED: Final = f"""
    SELECT record, position, toUnixTimestamp64Milli(created_at), _part FROM {EVENTS}
    PREWHERE {{owner}} = {{{{equal_{{owner}}:String}}}} WHERE {{where}}
    ORDER BY created_at {{direction}}, position {{direction}} LIMIT {{{{limit:UInt64}}}}
    SETTINGS optimize_read_in_order = 0, {AT_ONCE}
"""  # noqa: S608
_BEHIND: Final = f"({MOMENT.format(name='after')}, {{behind:UInt64}})"
# Ids, for an event that is stored twice counts once; and without FINAL, which would merge all there is before.
_SOME: Final = f"""
    SELECT count(), uniqExact(id) FROM (SELECT id FROM {EVENTS} WHERE {{where}} LIMIT {{{{limit:UInt64}}}})
    SETTINGS {AT_ONCE}
"""  # noqa: S608
_AT: Final = "created_at IN {moments:Array(DateTime64(3, 'UTC'))}"
_BETWEEN: Final = f"created_at >= {MOMENT.format(name='first')} AND created_at <= {MOMENT.format(name='last')}"


def page_of(
    connections: Connections, wanted: Filter, order: Order, *, limit: int, skip: int, after: Place | None
) -> tuple[list[tuple[str, int]], Count | None]:
    """The records and positions of a part of a list, and how many the list has, if that came with it.

    Args:
        connections: of the storage.
        wanted: which events.
        order: of the list.
        limit: at most so many.
        skip: so many first.
        after: those behind this place.
    """
    owned = _owned(connections, wanted, order, after)
    if owned is not None and settled(connections, {part for *_, part in owned}):
        page = [(record, position) for record, position, *_ in owned[skip : skip + limit]]
        return page, Count(len(owned), exact=True) if after is None else None
    direction = _ORDERS[order][1]
    where = _after(condition(wanted, hints=False), order, after)
    number = skip + limit + (after is not None)
    # When they were; then all of what there was at these moments. Of an id that is stored twice both rows have a time,
    # and of the events of one moment some may lie before the place, so the part may be too short: then a further look
    # is taken.
    if owned is not None:
        times = Times([moment for *_, moment, _ in owned], all=True)
    else:
        times = times_of(connections, wanted, order, enough=number, most=max(number, COUNTED + 1), after=after)
    if times.all and (len(times.moments) <= 2 * number or _places(times.moments) <= PLACES):
        number = len(times.moments)  # at once, which tells how many there are
    found: list[tuple[str, int, int]] = []
    looked_at_all = False
    while times.moments:
        at = _at(where, times.moments[:number])
        sql = _RECORDS.format(events=EVENTS, where=at.sql, direction=direction)
        found = connections.rows(sql, {**at.values, "limit": limit, "skip": skip})
        looked_at_all = times.all and number >= len(times.moments)
        if len(found) == limit or looked_at_all:
            break
        number *= 2
        if number > len(times.moments) and not times.all:
            times = times_of(connections, wanted, order, enough=number, most=number, after=after)
    count = None
    if after is None and looked_at_all and found:
        count = Count(found[0][2], exact=True)
    elif after is None and times.all and found:
        count = Count(_number_at(connections, where, times.moments), exact=True)
    elif after is None and found:
        count = Count(min(len(times.moments), COUNTED), exact=False)
    return [(record, position) for record, position, _ in found], count


def _owned(
    connections: Connections, wanted: Filter, order: Order, after: Place | None
) -> list[tuple[str, int, int, str]] | None:
    """The records, positions, moments and parts of all rows that may be wanted, if the filter names who they are of.

    ``None`` if there are many.
    """
    owner = next((name for name in OWNERS if name in wanted.equals), None)
    if owner is None or connections.target.cluster is not None:
        return None
    where = _after(condition(wanted), order, after)
    sql = _OWNED.format(owner=owner, where=where.sql, direction=_ORDERS[order][1])
    rows = connections.rows(sql, {**where.values, "limit": OWNED + 1})
    return rows if len(rows) <= OWNED else None


def _after(where: Condition, order: Order, place: Place | None) -> Condition:
    """This, and behind a place of the list."""
    if place is None:
        return where
    begins = milliseconds(moment_of(place.created_at))
    return where.also(f"(created_at, position) {_ORDERS[order][0]} {_BEHIND}", after=begins, behind=place.position)


def _places(moments: list[int]) -> int:
    """How many parts of the table these moments are in."""
    return 1 + sum(abs(one - other) > APART for one, other in pairwise(moments))


def _at(where: Condition, times: list[int]) -> Condition:
    moments = sorted({*times})
    if len(moments) > MOMENTS:
        return where.also(_BETWEEN, first=moments[0], last=moments[-1])
    return where.also(_AT, moments=[f"{moment / 1000:.3f}" for moment in moments])


def _number_at(connections: Connections, where: Condition, moments: list[int]) -> int:
    there = _at(where, moments)
    sql = f"SELECT count() FROM {EVENTS} FINAL WHERE {there.sql} SETTINGS {AT_ONCE}"  # noqa: S608
    [(number,)] = connections.rows(sql, there.values)
    return int(number)


def count_of(connections: Connections, wanted: Filter, most: int | None) -> int:
    """How many events there are; more than ``most`` are not counted."""
    if most is None:
        where = condition(wanted)
        [(number,)] = connections.rows(f"SELECT count() FROM {EVENTS} FINAL WHERE {where.sql}", where.values)  # noqa: S608
        return int(number)
    where = condition(wanted, hints=not FEW.isdisjoint(wanted.equals))
    limit = most + 1
    while True:
        # Nearly always there are more, and which row of an id counts does not matter then.
        [(rows, ids)] = connections.rows(_SOME.format(where=where.sql), {**where.values, "limit": limit})
        if ids > most:
            return most + 1
        if rows < limit:
            break
        limit *= 2  # ids come again
    times = times_of(connections, wanted, "newest", enough=limit, most=limit)
    return _number_at(connections, condition(wanted, hints=False), times.moments) if times.moments else 0
