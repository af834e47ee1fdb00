"""Going through events in the order of a list.

Where the engine has an index by value (PostgreSQL's, see :mod:`.terms`) a list that asks for a value is made in steps:
through the next few events, whatever they are, which finds what is frequent; then through the index, a few months and
then more at a time, which finds what is not. Each step goes on behind what the ones before have found. Else events are
gone through by time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, FromClause, Integer, Select, bindparam, select

from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.sql.filters import (
    SHAPES,
    Conditions,
    Shape,
    Values,
    behind,
    conditions,
    place_values,
    shape_of,
    up_to_millisecond,
    values_of,
)
from tk_analytics_mw.storage.sql.schema import events
from tk_analytics_mw.storage.sql.spans import span
from tk_analytics_mw.storage.sql.terms import RARE, ever_have_term, field_of, have_term, months_between, term_values

NEXT: Final = 2_000
"""Events that are gone through by time before the index is asked: some 2 ms."""

MANY: Final = 20_000
"""The same for metadata, of which the index has all months together: it finds fast what is rare, and that alone."""

GROWTH: Final = (1, 6, 36)
"""Months that are asked for together, step by step; the last number for all further steps."""

CHUNK: Final = 1_000
"""Rows that are fetched together by who does not know how many are needed."""


class Step(NamedTuple):
    """Where to look."""

    way: Literal["time", "next", "metadata", "months", "ever"]
    """Through the events by time, or the next few of those; or through the index, which has metadata, and a field in
    some months or in all."""
    field: str = ""
    placed: bool = False
    """Whether the next ones are those behind a place."""


def walk(
    connection: Connection,
    wanted: Filter,
    order: Order,
    *names: str,
    after: Place | None,
    limit: int | None = None,
) -> Iterator[Any]:
    """The events of ``wanted``, in order: their moments and positions, then the columns.

    Args:
        connection: with a snapshot.
        wanted: which events.
        order: of the list.
        names: of further columns.
        after: those behind this place.
        limit: how many are needed, if that is known.
    """
    shape, values = shape_of(connection, wanted), values_of(wanted)
    size = CHUNK if limit is None else limit
    for step, more in _steps(connection, wanted, order, after):
        got = size
        while got == size:
            statement = _page(shape, step, order, names, after is not None)
            rows = connection.execute(statement, {**values, **more, **place_values(after), "size": size}).all()
            yield from rows
            got = len(rows)
            if rows:
                after = Place(timestamp(rows[-1][0]), rows[-1][1])


def has_index(connection: Connection, wanted: Filter) -> bool:
    """Whether an index by value can be asked for these."""
    return connection.dialect.name == "postgresql" and (field_of(wanted.equals) is not None or bool(wanted.metadata))


def by_index(connection: Connection, wanted: Filter, order: Order) -> Iterator[tuple[Step, Values]]:
    """Steps, one after the other, that make the index be asked, with further values of theirs: together they find the
    events of ``wanted``."""
    field = field_of(wanted.equals)
    if field is None:
        yield Step("metadata"), {}
    elif field in RARE:
        yield Step("ever", field), term_values(wanted, [wanted.equals[field]])
    else:
        months = months_of(connection, wanted)
        if order == "newest":
            months.reverse()
        done = 0
        for number in [*GROWTH, *[GROWTH[-1]] * (len(months) // GROWTH[-1])]:
            some = months[done : done + number]
            done += number
            if some:
                yield Step("months", field), term_values(wanted, [wanted.equals[field]], some)


def months_of(connection: Connection, wanted: Filter) -> list[datetime]:
    """The months in which events of ``wanted`` can be, ascending."""
    found = span(connection, wanted.org_id)
    if found is None:
        return []
    first = found[0] if wanted.since is None else max(found[0], up_to_millisecond(wanted.since))
    last = found[1] if wanted.until is None else min(found[1], wanted.until)
    return months_between(first, last)


def source_of(shape: Shape, step: Step, order: Order) -> tuple[FromClause, Conditions]:
    """Where a step looks, and for what."""
    if step.way == "time":
        return events, conditions(shape)
    if step.way == "next":
        # Whatever they are: their values are looked at behind.
        bounds = conditions(shape._replace(equals=(), metadata=0))
        here = [behind(order, name="start")] if step.placed else []
        near = bindparam("near", type_=Integer)
        some = _in_order(select(events).where(*bounds, *here), order, events).limit(near).subquery("events")
        return some, conditions(shape, some)
    found = conditions(shape, by_time=False)  # of metadata their condition is the index's own
    if step.way == "months":
        found.append(have_term(step.field))
    elif step.way == "ever":
        found.append(ever_have_term(step.field))
    return events, found


def _steps(connection: Connection, wanted: Filter, order: Order, after: Place | None) -> Iterator[tuple[Step, Values]]:
    if not has_index(connection, wanted):
        yield Step("time"), {}
        return
    field = field_of(wanted.equals)
    for number in (NEXT, MANY) if field is None else () if field in RARE else (NEXT,):
        yield Step("next", placed=after is not None), {"near": number, **place_values(after, name="start")}
    yield from by_index(connection, wanted, order)


@lru_cache(SHAPES)
def _page(shape: Shape, step: Step, order: Order, names: tuple[str, ...], placed: bool) -> Select[Any]:
    source, where = source_of(shape, step, order)
    here = [behind(order, source, by_time=step.way in ("time", "next"))] if placed else []
    columns = (source.c[name] for name in ("created_at", "position", *names))
    return _in_order(select(*columns), order, source).where(*where, *here).limit(bindparam("size", type_=Integer))


def _in_order(statement: Select[Any], order: Order, source: FromClause) -> Select[Any]:
    if order == "newest":
        return statement.order_by(source.c.created_at.desc(), source.c.position.desc())
    return statement.order_by(source.c.created_at, source.c.position)
