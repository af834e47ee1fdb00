"""Events by value: from the summaries of days, and from the events of the hours that no summary has."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.figures import Amounts, Breakdown, Dimension, Group
from tk_analytics_mw.storage.sqlite.filters import condition, text_of
from tk_analytics_mw.storage.sqlite.totals import PARTS

# Texts as JSON, so that "1" is not 1; numbers as they are, so that 1 is 1.0; null as if there were none.
_OF_OBJECT: Final = """(
    SELECT CASE type WHEN 'text' THEN json_quote(value) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE value END
    FROM json_each({column}) WHERE key = ?
)"""
_SUMS: Final = """
    coalesce(sum(events), 0) AS count_events, coalesce(sum(metric), 0.0) AS sum_metric,
    count(DISTINCT session_id) AS sessions, count(DISTINCT user_id) AS users
"""
_FROM_EVENTS: Final = """
    SELECT {key} AS key, session_id, user_id, 1 AS events, events.metric AS metric
    FROM json_each(?) AS stretch CROSS JOIN events
    WHERE {where}
        AND created_at >= json_extract(stretch.value, '$[0]') AND created_at < json_extract(stretch.value, '$[1]')
"""
_FROM_DAYS: Final = """
    SELECT {key} AS key, session_id, user_id, events, metric FROM day_totals
    WHERE {where} AND day IN (
        SELECT day FROM summed_days WHERE org_id = ? AND day >= ? AND day < ? AND token IS NULL
    )
    UNION ALL
"""


class Source(NamedTuple):
    """Rows of ``key, session_id, user_id, events, metric``, as a subquery and its values."""

    sql: str
    values: tuple[Any, ...]


def whole_days(wanted: Filter, by: Dimension) -> tuple[str, str] | None:
    """The days that summaries have the answer for: the first one, and the one after the last. ``None`` for none."""
    if by.column not in PARTS or not set(wanted.equals) <= set(PARTS) or wanted.metadata:
        return None
    if wanted.since is None or wanted.until is None or wanted.since >= wanted.until:
        return None
    first = _day_of(wanted.since + timedelta(days=1, microseconds=-1))
    end = _day_of(wanted.until)
    return (first, end) if first < end else None


def break_down(connection: sqlite3.Connection, wanted: Filter, by: Dimension, top: int) -> Breakdown:
    """See :meth:`Figures.breakdown <tk_analytics_mw.storage.figures.Figures.breakdown>`.

    Args:
        connection: with a snapshot.
        wanted: with both times.
        by: what.
        top: how many values.
    """
    source = _source(connection, wanted, by)
    groups = connection.execute(
        f"SELECT key, {_SUMS} FROM ({source.sql}) GROUP BY key ORDER BY count_events DESC, key",  # noqa: S608
        source.values,
    ).fetchall()
    shown = groups[:top]
    total = other = Amounts(0, 0.0, 0, 0)
    if groups:
        total = _sum(connection, source, "1", ())
    if len(groups) > top:
        without_value = "key IS NULL" if all(row[0] is not None for row in shown) else "0"
        keys = tuple(row[0] for row in shown if row[0] is not None)
        further = f"{without_value} OR key NOT IN ({', '.join('?' * len(keys))})"
        other = _sum(connection, source, further, keys)
    return Breakdown(
        total,
        [Group(_value(row[0], by), Amounts(*row[1:])) for row in shown],
        len(groups) - len(shown),
        other,
    )


def _sum(connection: sqlite3.Connection, source: Source, condition_: str, values: tuple[Any, ...]) -> Amounts:
    row = connection.execute(
        f"SELECT {_SUMS} FROM ({source.sql}) WHERE {condition_}",  # noqa: S608
        (*source.values, *values),
    ).fetchone()
    return Amounts(*row)


def _source(connection: sqlite3.Connection, wanted: Filter, by: Dimension) -> Source:
    in_object = by.column not in PARTS
    key = _OF_OBJECT.format(column=by.column) if in_object else by.column
    asked = (by.key,) if in_object else ()
    where, values = condition(replace(wanted, since=None, until=None))
    days = whole_days(wanted, by)
    summed = _summed(connection, wanted.org_id, *days) if days else []
    sql, all_values = "", ()
    if days and summed:
        sql, all_values = _FROM_DAYS.format(key=key, where=where), (*values, wanted.org_id, *days)
    stretches = json.dumps([*_between(wanted, summed)])
    return Source(sql + _FROM_EVENTS.format(key=key, where=where), (*all_values, *asked, stretches, *values))


def _summed(connection: sqlite3.Connection, org_id: str, first: str, end: str) -> list[str]:
    rows = connection.execute(
        "SELECT day FROM summed_days WHERE org_id = ? AND day >= ? AND day < ? AND token IS NULL ORDER BY day",
        (org_id, first, end),
    )
    return [day for (day,) in rows]


def _between(wanted: Filter, days: list[str]) -> Iterator[tuple[str, str]]:
    """The stretches of time that none of the days has."""
    assert wanted.since is not None and wanted.until is not None  # noqa: S101, PT018
    start = text_of(wanted.since)
    for day in days:
        if start < day:
            yield start, day
        start = f"{day}U"  # behind every moment of it: T comes before U
    yield start, text_of(wanted.until)


def _day_of(moment: datetime) -> str:
    return str(moment.astimezone(timezone.utc).date())


def _value(key: Any, by: Dimension) -> Any:
    return json.loads(key) if isinstance(key, str) and by.column not in PARTS else key
