"""Parts of lists of events, and how many they hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Integer, Select, bindparam, func, select

from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.reader import Count, Page
from tk_analytics_mw.storage.rows import COLUMNS
from tk_analytics_mw.storage.sql.encoding import event_from
from tk_analytics_mw.storage.sql.filters import SHAPES, Shape, Values, shape_of, values_of
from tk_analytics_mw.storage.sql.schema import EVENT, events
from tk_analytics_mw.storage.sql.terms import RARE, field_of
from tk_analytics_mw.storage.sql.walks import MANY, Step, by_index, has_index, source_of, walk

SEVERAL: Final = 3_000
"""Events that are gone through by time before the index counts: some 1 ms."""


def page_of(
    connection: Connection, wanted: Filter, order: Order, *, limit: int, skip: int, after: Place | None
) -> Page:
    """See :meth:`Reader.events <tk_analytics_mw.storage.reader.Reader.events>`.

    Args:
        connection: with a snapshot.
        wanted: which events.
        order: of the list.
        limit: at most so many.
        skip: so many first.
        after: those behind this place.
    """
    needed = skip + limit + 1
    rows: Sequence[Any]
    if skip:  # what is passed over is not read
        places = [
            position for _, position in islice(walk(connection, wanted, order, after=after, limit=needed), skip, needed)
        ]
        rows = _at(connection, places)
    else:
        rows = [*islice(walk(connection, wanted, order, *COLUMNS, after=after, limit=needed), needed)]
    shown = [tuple(row) for row in rows[:limit]]
    following = Place(timestamp(shown[-1][0]), shown[-1][1]) if len(rows) > limit else None
    return Page([event_from(row[2:]) for row in shown], following)


def count_of(connection: Connection, wanted: Filter, most: int | None) -> Count:
    """See :meth:`Reader.count <tk_analytics_mw.storage.reader.Reader.count>`."""
    if most is None:
        return Count(_count(connection, wanted, Step("time")), exact=True)
    if not has_index(connection, wanted):
        found = _count(connection, wanted, Step("time"), limit=most + 1)
    else:
        # What is frequent is found sooner without the index, which takes all of a month before it gives the first one.
        field = field_of(wanted.equals)
        near = {"near": MANY if field is None else SEVERAL}
        if field not in RARE and _count(connection, wanted, Step("next"), near, limit=most + 1) > most:
            return Count(most, exact=False)
        found = 0
        for step, values in by_index(connection, wanted, "newest"):
            found += _count(connection, wanted, step, values, limit=most + 1)
            if found > most:
                break
    return Count(min(found, most), exact=found <= most)


def _count(
    connection: Connection, wanted: Filter, step: Step, values: Values | None = None, limit: int | None = None
) -> int:
    statement = _counted(shape_of(connection, wanted), step, limit is not None)
    number: int = connection.execute(statement, {**values_of(wanted), **(values or {}), "size": limit}).scalar_one()
    return number


@lru_cache(SHAPES)
def _counted(shape: Shape, step: Step, limited: bool) -> Select[Any]:
    source, where = source_of(shape, step, "newest")
    some = select(source.c.position).where(*where)
    if limited:
        some = some.limit(bindparam("size", type_=Integer))
    return select(func.count()).select_from(some.subquery())


def _at(connection: Connection, positions: Sequence[int]) -> list[Any]:
    rows = connection.execute(
        select(events.c.created_at, events.c.position, *EVENT).where(events.c.position.in_(positions))
    ).all()
    return sorted(rows, key=lambda row: positions.index(row[1]))
