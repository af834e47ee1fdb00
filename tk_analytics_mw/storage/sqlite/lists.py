"""Lists of events by time, and how many they hold: through postings where they help, else along the index by time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.rows import COLUMNS
from tk_analytics_mw.storage.sqlite.candidates import Part, find, parts_of
from tk_analytics_mw.storage.sqlite.filters import DIRECTIONS, Condition, between, condition, listed

MOST_RANGES: Final = 100
"""Of one condition: SQLite nests them, and takes no more than a thousand."""

NEAR: Final = 10
"""So many events are gone through by time for each one that a list needs, before postings are asked, of a value that
one event in so many has."""

_NAMES: Final = ", ".join(COLUMNS)


def rows_of(
    connection: sqlite3.Connection, wanted: Filter, order: Order, *, limit: int, skip: int, after: Place | None
) -> list[tuple[Any, ...]]:
    """The rows of a part of a list: the columns of events, and the position.

    Args:
        connection: with a snapshot.
        wanted: which events.
        order: of the list.
        limit: at most so many.
        skip: so many first.
        after: those behind this place.
    """
    _, direction = DIRECTIONS[order]
    by_time = f"ORDER BY created_at {direction}, position {direction}"

    def along_time(times: tuple[str, str]) -> list[tuple[Any, ...]]:
        where, values = listed(wanted, order, after, times)
        return connection.execute(
            f"SELECT {_NAMES}, position FROM events WHERE {where} {by_time} LIMIT ? OFFSET ?",  # noqa: S608
            (*values, limit, skip),
        ).fetchall()

    times = between(wanted, order, after)
    found = find(connection, wanted)
    if found is None:
        return along_time(times)
    if found.density * NEAR > 1:
        near = _near(connection, wanted.org_id, order, times, NEAR * (skip + limit))
        rows = along_time(near)
        if near == times or len(rows) == limit:
            return rows
    parts = chain(found.searched, parts_of(connection, found, order, times))
    places = _first_places(connection, parts, listed(wanted, order, after, times), order, skip + limit)[skip:]
    return connection.execute(
        f"SELECT {_NAMES}, position FROM events NOT INDEXED "  # noqa: S608
        f"WHERE position IN (SELECT value FROM json_each(?)) {by_time}",
        (json.dumps([place.position for place in places]),),
    ).fetchall()


def count_of(connection: sqlite3.Connection, wanted: Filter, most: int | None) -> int:
    """How many events there are; more than ``most`` are not counted."""
    limit = -1 if most is None else most + 1
    where = condition(wanted)
    found = find(connection, wanted)
    if found is None:
        return _count(connection, "1", (), where, limit)
    total = 0
    # Those that are searched come last: often there is enough before.
    for part in chain(parts_of(connection, found, times=between(wanted)), found.searched):
        if most is not None and total > most:
            break
        total += _count(connection, *_within(part), where, limit) if part.events is None else part.events
    return total


def within(connection: sqlite3.Connection, wanted: Filter) -> Condition | None:
    """Where to look for the events of ``wanted``, as a condition beside the one that says which they are."""
    found = find(connection, wanted)
    if found is None:
        return None
    parts = [*found.searched, *parts_of(connection, found, times=between(wanted))]
    positions = [position for part in parts for position in part.positions or ()]
    ranges = [part for part in parts if part.offsets is None]
    if len(ranges) > MOST_RANGES:
        return None
    found_ones = Condition("position IN (SELECT value FROM json_each(?))", (json.dumps(positions),))
    either = [found_ones, *(Condition(*_within(part)) for part in ranges)]
    words = " OR ".join(each.sql for each in either)
    return Condition(f"({words})", tuple(value for each in either for value in each.values))


def _count(connection: sqlite3.Connection, within: str, values: Sequence[Any], where: Condition, limit: int) -> int:
    by_position = "" if within == "1" else "NOT INDEXED"
    [number] = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM events {by_position} WHERE {within} AND {where.sql} LIMIT ?)",  # noqa: S608
        (*values, *where.values, limit),
    ).fetchone()
    return int(number)


def _near(
    connection: sqlite3.Connection, org_id: str, order: Order, times: tuple[str, str], number: int
) -> tuple[str, str]:
    """The times of the first so many events, whatever they are; all of ``times`` if there are not so many."""
    edge = connection.execute(
        "SELECT created_at FROM events INDEXED BY events_time "  # noqa: S608
        "WHERE org_id = ? AND created_at >= ? AND created_at <= ? "
        f"ORDER BY created_at {DIRECTIONS[order][1]} LIMIT 1 OFFSET ?",
        (org_id, *times, number),
    ).fetchone()
    if edge is None:
        return times
    return (edge[0], times[1]) if order == "newest" else (times[0], edge[0])


def _first_places(
    connection: sqlite3.Connection, parts: Iterable[Part], where: Condition, order: Order, needed: int
) -> list[Place]:
    """The first places of a list: no part is looked at whose events all come behind those that are there."""
    _, direction = DIRECTIONS[order]
    newest = order == "newest"
    places: list[Place] = []
    for part in parts:
        if len(places) >= needed:
            last = places[needed - 1].created_at
            if last > part.last if newest else last < part.first:
                break
        within, values = _within(part)
        rows = connection.execute(
            f"SELECT created_at, position FROM events NOT INDEXED WHERE {within} AND {where.sql} "  # noqa: S608
            f"ORDER BY created_at {direction}, position {direction} LIMIT ?",
            (*values, *where.values, needed),
        )
        places = sorted([*places, *(Place(*row) for row in rows)], reverse=newest)[:needed]
    return places


def _within(part: Part) -> tuple[str, tuple[Any, ...]]:
    if part.offsets is None:
        return "position >= ? AND position <= ?", (part.low, part.high)
    return "position IN (SELECT value FROM json_each(?))", (json.dumps(part.positions),)
