"""Events by value."""

from __future__ import annotations

import json
from typing import Any, Final

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.clickhouse.conditions import condition
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.figures import Amounts, Breakdown, Dimension, Group

_OF_OBJECT: Final = {
    "event_metadata": "nullIf(nullIf(metadata_values[{key:String}], ''), 'null')",
    "configuration": "nullIf(nullIf(configuration_values[{key:String}], ''), 'null')",
}
# Of values that equally many events have: none, then numbers, then everything else by its text.
_IS_NUMBER: Final = "match(assumeNotNull(value), '^[-0-9]')"
_RANKS: Final = {
    True: f"isNotNull(value), NOT {_IS_NUMBER}, toFloat64OrZero(if({_IS_NUMBER}, assumeNotNull(value), '0')), value",
    False: "isNotNull(value), value",
}
# Who is told apart is kept by value, so that it can be put together: of what has no place of its own, and of all.
_GROUPS: Final = """
    SELECT place, any(value), sum(events), sum(metrics), uniqExactMerge(sessions), uniqExactMerge(users), count()
    FROM (
        SELECT {key} AS value, count() AS events, sum(metric) AS metrics,
            uniqExactState(session_key) AS sessions, uniqExactState(user_key) AS users,
            least(row_number() OVER (ORDER BY events DESC, {rank}), {{top:UInt64}} + 1) AS place
        FROM {events} FINAL WHERE {where} GROUP BY value
    )
    GROUP BY GROUPING SETS ((place), ()) ORDER BY place
"""
_NOTHING: Final = Amounts(0, 0.0, 0, 0)


def break_down(connections: Connections, wanted: Filter, by: Dimension, top: int) -> Breakdown:
    """See :meth:`Figures.breakdown <tk_analytics_mw.storage.figures.Figures.breakdown>`."""
    where = condition(wanted)
    in_object = by.column in _OF_OBJECT
    rows = connections.rows(
        _GROUPS.format(
            rank=_RANKS[in_object], key=_OF_OBJECT.get(by.column, by.column), events=EVENTS, where=where.sql
        ),
        {**where.values, "top": top, "key": by.key or ""},
    )
    total, other, other_values = _NOTHING, _NOTHING, 0
    groups = []
    for place, value, events, metric, sessions, users, values in rows:
        amounts = Amounts(events, metric, sessions, users)
        if place == 0:  # the set of all
            total = amounts
        elif place > top:
            other, other_values = amounts, values
        else:
            groups.append(Group(_value(value, in_object), amounts))
    return Breakdown(total, groups, other_values, other)


def _value(value: Any, in_object: bool) -> Any:
    return json.loads(value) if in_object and value is not None else value
