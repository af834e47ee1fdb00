"""From a filter to conditions of SQLAlchemy: what a client sent stands in none of them, only beside."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, FromClause, and_, false, func, not_, text, tuple_

from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.exponents import written_out
from tk_analytics_mw.storage.rows import moment_of
from tk_analytics_mw.storage.sql.schema import events

Conditions = list[Any]

_CONTAINED: Final = text("event_metadata @> CAST(:asked_metadata AS jsonb)")


def conditions(
    connection: Connection, wanted: Filter, source: FromClause = events, *, by_time: bool = True
) -> Conditions:
    """What the events of ``wanted`` meet that have a position, and no others.

    Args:
        connection: that they are for.
        wanted: which events.
        source: the table, or a part of it.
        by_time: whether the index by time may be used. Planners like it, for a list in its order, and go through all
            the years in which a rare value was not.
    """
    c = source.c
    org_id = c.org_id if by_time else c.org_id.concat("")
    found: Conditions = [org_id == wanted.org_id, c.position.is_not(None)]
    found += [_equals(c[name], value) for name, value in wanted.equals.items()]
    if wanted.since is not None:
        found.append(c.created_at >= up_to_millisecond(wanted.since))
    if wanted.until is not None:
        found.append(c.created_at < up_to_millisecond(wanted.until))
    if wanted.metadata:
        found.append(has_metadata(connection, wanted, source))
    return found


def timeless(wanted: Filter) -> Filter:
    """The same, whenever."""
    return replace(wanted, since=None, until=None)


def behind(place: Place, order: Order, source: FromClause = events) -> ColumnElement[bool]:
    """What comes after a place in a list."""
    moment, c = moment_of(place.created_at), source.c
    here = tuple_(c.created_at, c.position)
    there = tuple_(moment, place.position, types=[c.created_at.type, c.position.type])
    # The first part says nothing new; MariaDB finds its way in an index by it.
    if order == "newest":
        return and_(c.created_at <= moment, here < there)
    return and_(c.created_at >= moment, here > there)


def has_metadata(connection: Connection, wanted: Filter, source: FromClause = events) -> Any:
    """The condition that these keys of ``event_metadata`` have exactly these values."""
    asked = written_out(json.dumps(dict(wanted.metadata), ensure_ascii=False))
    if connection.dialect.name == "postgresql":
        # Of a scalar below a key this is equality, 1 and 1.0 are equal, and the index has it.
        return _CONTAINED.bindparams(asked_metadata=asked)
    # An array contains what one of its elements is, and the empty array; a scalar does not contain that.
    each = (json.dumps({key: []}, ensure_ascii=False) for key in wanted.metadata)
    return and_(
        func.json_contains(source.c.event_metadata, asked),
        *(not_(func.json_contains(source.c.event_metadata, empty)) for empty in each),
    )


def up_to_millisecond(moment: datetime) -> datetime:
    """The next whole millisecond: what is stored has no finer ones."""
    return moment + timedelta(microseconds=-moment.microsecond % 1000)


def _equals(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    if column.key == "id" and not is_id(value):
        return false()
    return column == (float(value) if column.key == "metric" else value)


def is_id(value: Any) -> bool:
    """Whether it is a UUID in the spelling in which ids are given out."""
    try:
        return bool(str(uuid.UUID(value)) == value)
    except ValueError:
        return False
