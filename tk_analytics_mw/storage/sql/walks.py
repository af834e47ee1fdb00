"""Going through events in the order of a list.

Where the engine has an index by value (PostgreSQL's, see :mod:`.terms`) a list that asks for a value is made in steps:
through the next few events, whatever they are, which finds what is frequent; then through the index, a few months and
then more at a time, which finds what is not. Each step goes on behind what the ones before have found. Else events are
gone through by time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, FromClause, Select, select

from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.sql.filters import behind, conditions, up_to_millisecond
from tk_analytics_mw.storage.sql.schema import events
from tk_analytics_mw.storage.sql.spans import span
from tk_analytics_mw.storage.sql.terms import RARE, ever_have_term, field_of, have_term, months_between

NEXT: Final = 2_000
"""Events that are gone through by time before the index is asked: some 2 ms."""

MANY: Final = 20_000
"""The same for metadata, of which the index has all months together: it finds fast what is rare, and that alone."""

GROWTH: Final = (1, 6, 36)
"""Months that are asked for together, step by step; the last number for all further steps."""

CHUNK: Final = 1_000
"""Rows that are fetched together by who does not know how many are needed."""


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
    size = CHUNK if limit is None else limit
    for source, where in _steps(connection, wanted, order, after):
        columns = (source.c[name] for name in ("created_at", "position", *names))
        statement = _in_order(select(*columns), order, source).where(*where).limit(size)
        got = size
        while got == size:
            here = [] if after is None else [behind(after, order, source)]
            rows = connection.execute(statement.where(*here)).all()
            yield from rows
            got = len(rows)
            if rows:
                after = Place(timestamp(rows[-1][0]), rows[-1][1])


def has_index(connection: Connection, wanted: Filter) -> bool:
    """Whether an index by value can be asked for these."""
    return connection.dialect.name == "postgresql" and (field_of(wanted.equals) is not None or bool(wanted.metadata))


def by_index(connection: Connection, wanted: Filter, order: Order) -> Iterator[list[Any]]:
    """Conditions, one after the other, that make the index be asked: together they are those of ``wanted``."""
    where = conditions(connection, wanted, by_time=False)
    field = field_of(wanted.equals)
    if field is None:  # metadata: their condition is the index's own
        yield where
    elif field in RARE:
        yield [*where, ever_have_term(wanted, field, [wanted.equals[field]])]
    else:
        months = months_of(connection, wanted)
        if order == "newest":
            months.reverse()
        done = 0
        for number in [*GROWTH, *[GROWTH[-1]] * (len(months) // GROWTH[-1])]:
            some = months[done : done + number]
            done += number
            if some:
                yield [*where, have_term(wanted.org_id, field, wanted.equals[field], some)]


def months_of(connection: Connection, wanted: Filter) -> list[datetime]:
    """The months in which events of ``wanted`` can be, ascending."""
    found = span(connection, wanted.org_id)
    if found is None:
        return []
    first = found[0] if wanted.since is None else max(found[0], up_to_millisecond(wanted.since))
    last = found[1] if wanted.until is None else min(found[1], wanted.until)
    return months_between(first, last)


def _steps(
    connection: Connection, wanted: Filter, order: Order, after: Place | None
) -> Iterator[tuple[FromClause, list[Any]]]:
    """Where to look, and for what."""
    if not has_index(connection, wanted):
        yield events, conditions(connection, wanted)
        return
    field = field_of(wanted.equals)
    for number in (NEXT, MANY) if field is None else () if field in RARE else (NEXT,):
        bounds = conditions(connection, Filter(wanted.org_id, since=wanted.since, until=wanted.until))
        here = [] if after is None else [behind(after, order)]
        some = _in_order(select(events).where(*bounds, *here), order, events).limit(number).subquery("events")
        yield some, conditions(connection, wanted, some)
    for where in by_index(connection, wanted, order):
        yield events, where


def _in_order(statement: Select[Any], order: Order, source: FromClause) -> Select[Any]:
    if order == "newest":
        return statement.order_by(source.c.created_at.desc(), source.c.position.desc())
    return statement.order_by(source.c.created_at, source.c.position)
