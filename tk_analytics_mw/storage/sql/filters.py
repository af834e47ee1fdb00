"""From a filter to conditions of SQLAlchemy: what a client sent stands in none of them, only beside.

To put a statement together takes SQLAlchemy five times the time that it takes to execute it. So one is made once for
each *shape* of a question, with parameters by name, and executed with the values of the question at hand.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, and_, bindparam, func, literal_column, not_, text, tuple_

from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.exponents import written_out
from tk_analytics_mw.storage.rows import moment_of
from tk_analytics_mw.storage.sql.schema import events

SHAPES: Final = 256
"""Statements that each function keeps: fields can be asked for together in thousands of ways, and few are."""

Conditions = list[Any]
Values = dict[str, Any]

_CONTAINED: Final = text("event_metadata @> CAST(:asked_metadata AS jsonb)")


class Shape(NamedTuple):
    """A question without its values."""

    postgresql: bool
    equals: tuple[str, ...]
    """The columns that are asked for."""
    metadata: int
    """How many keys are asked for."""
    since: bool
    until: bool


def shape_of(connection: Connection, wanted: Filter) -> Shape:
    """The shape of a question.

    Args:
        connection: that it is for.
        wanted: which events.
    """
    equals = tuple(sorted(wanted.equals))
    times = (wanted.since is not None, wanted.until is not None)
    return Shape(connection.dialect.name == "postgresql", equals, len(wanted.metadata), *times)


def values_of(wanted: Filter) -> Values:
    """The values of a question, by the names that :func:`conditions` has for them."""
    values: Values = {"org_id": wanted.org_id}
    values.update((f"the_{name}", _value(name, value)) for name, value in wanted.equals.items())
    if wanted.since is not None:
        values["since"] = up_to_millisecond(wanted.since)
    if wanted.until is not None:
        values["until"] = up_to_millisecond(wanted.until)
    if wanted.metadata:
        values["asked_metadata"] = written_out(json.dumps(dict(wanted.metadata), ensure_ascii=False))
        for number, key in enumerate(wanted.metadata):
            values[f"empty_{number}"] = json.dumps({key: []}, ensure_ascii=False)
    return values


def conditions(shape: Shape, source: FromClause = events, *, by_time: bool = True) -> Conditions:
    """What the events of a question meet that have a position, and no others.

    Args:
        shape: of the question.
        source: the table, or a part of it.
        by_time: whether the index by time may be used. Planners like it, for a list in its order, and go through all
            the years in which a rare value was not.
    """
    c = source.c
    org_id = c.org_id if by_time else c.org_id.concat("")
    created_at = _moment(source, by_time=by_time)
    found: Conditions = [org_id == bindparam("org_id"), c.position.is_not(None)]
    found += [c[name] == bindparam(f"the_{name}") for name in shape.equals]
    if shape.since:
        found.append(created_at >= bindparam("since"))
    if shape.until:
        found.append(created_at < bindparam("until"))
    if shape.metadata:
        found.append(_has_metadata(shape, source))
    return found


def timeless(wanted: Filter) -> Filter:
    """The same, whenever."""
    return replace(wanted, since=None, until=None)


def behind(
    order: Order, source: FromClause = events, *, name: str = "after", by_time: bool = True
) -> ColumnElement[bool]:
    """What comes after a place in a list.

    Args:
        order: of the list.
        source: the table, or a part of it.
        name: of the place, see :func:`place_values`.
        by_time: as for :func:`conditions`.
    """
    c = source.c
    created_at = _moment(source, by_time=by_time)
    moment = bindparam(f"{name}_moment", type_=c.created_at.type)
    here = tuple_(created_at, c.position)
    there = tuple_(moment, bindparam(f"{name}_position", type_=c.position.type))
    # The first part says nothing new; MariaDB finds its way in an index by it.
    if order == "newest":
        return and_(created_at <= moment, here < there)
    return and_(created_at >= moment, here > there)


def place_values(place: Place | None, *, name: str = "after") -> Values:
    """The values of a place, if there is one."""
    if place is None:
        return {}
    return {f"{name}_moment": moment_of(place.created_at), f"{name}_position": place.position}


def _moment(source: FromClause, *, by_time: bool) -> ColumnElement[Any]:
    created_at: ColumnElement[Any] = source.c.created_at
    return created_at if by_time else created_at.op("+")(literal_column("INTERVAL '0'"))


def _has_metadata(shape: Shape, source: FromClause) -> Any:
    """The condition that these keys of ``event_metadata`` have exactly these values."""
    if shape.postgresql:
        # Of a scalar below a key this is equality, 1 and 1.0 are equal, and the index has it.
        return _CONTAINED
    # An array contains what one of its elements is, and the empty array; a scalar does not contain that.
    column = source.c.event_metadata
    return and_(
        func.json_contains(column, bindparam("asked_metadata")),
        *(not_(func.json_contains(column, bindparam(f"empty_{number}"))) for number in range(shape.metadata)),
    )


def up_to_millisecond(moment: datetime) -> datetime:
    """The next whole millisecond: what is stored has no finer ones."""
    return moment + timedelta(microseconds=-moment.microsecond % 1000)


def _value(name: str, value: Any) -> Any:
    if name == "id":
        return value if is_id(value) else None  # which nothing is equal to
    return float(value) if name == "metric" else value


def is_id(value: Any) -> bool:
    """Whether it is a UUID in the spelling in which ids are given out."""
    try:
        return bool(str(uuid.UUID(value)) == value)
    except ValueError:
        return False
