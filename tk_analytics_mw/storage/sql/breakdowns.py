"""Events by value: summed up by value, session and user in the database."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, func, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.choices import canonical
from tk_analytics_mw.storage.figures import Breakdown, Dimension
from tk_analytics_mw.storage.sql.filters import conditions, shape_of, values_of
from tk_analytics_mw.storage.sql.schema import events
from tk_analytics_mw.storage.tallies import Tallies


def break_down(connection: Connection, wanted: Filter, by: Dimension, top: int) -> Breakdown:
    """See :meth:`Figures.breakdown <tk_analytics_mw.storage.figures.Figures.breakdown>`.

    Args:
        connection: with a snapshot.
        wanted: which events.
        by: what.
        top: how many values.
    """
    column = events.c[by.column]
    value = column if by.key is None else _of_object(connection, column, by.key)
    some = (
        select(value.label("value"), events.c.session_id, events.c.user_id, events.c.metric)
        .where(*conditions(shape_of(connection, wanted)))
        .subquery("some")
    )
    rows = connection.execute(
        select(some.c.value, some.c.session_id, some.c.user_id, func.count(), func.sum(some.c.metric)).group_by(
            some.c.value, some.c.session_id, some.c.user_id
        ),
        values_of(wanted),
    ).all()
    tallies = Tallies()
    # One row for each user of a session: the database has done most of it.
    if by.key is None:
        for each in rows:
            tallies.add(*each)
        return tallies.result(top, lambda key: key)
    keys: dict[str | None, Any] = {}
    for text, *row in rows:
        if text not in keys:
            keys[text] = _key(text)
        tallies.add(keys[text], *row)
    return tallies.result(top, _value)


def _of_object(connection: Connection, column: ColumnElement[Any], key: str) -> ColumnElement[Any]:
    """The value of a key of an object, as JSON."""
    if connection.dialect.name == "postgresql":
        return cast(type_coerce(column, JSONB)[key], Text)
    return func.json_extract(column, f"$.{json.dumps(key, ensure_ascii=False)}")


def _key(text: str | None) -> Any:
    """What stands for a JSON value: equal values have equal ones."""
    value = None if text is None else json.loads(text)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    return canonical(value)


def _value(key: Any) -> Any:
    return json.loads(key) if isinstance(key, str) else key
