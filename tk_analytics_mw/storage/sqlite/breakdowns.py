"""Events by value: from the summaries of days, and from the events of the hours that no summary has."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.choices import canonical
from tk_analytics_mw.storage.figures import Breakdown, Dimension
from tk_analytics_mw.storage.sqlite.filters import condition, text_of
from tk_analytics_mw.storage.sqlite.summaries import day_after, summed_days
from tk_analytics_mw.storage.sqlite.totals import PARTS
from tk_analytics_mw.storage.tallies import Tallies

# Texts as JSON, so that "1" is not 1; numbers as they are, so that 1 is 1.0; null as if there were none.
_OF_OBJECT: Final = """(
    SELECT CASE type WHEN 'text' THEN json_quote(value) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE value END
    FROM json_each({column}) WHERE key = ?
)"""
_SUMS: Final = """
    SELECT key, session_id, user_id, sum(events), sum(metric) FROM ({source}) GROUP BY key, session_id, user_id
"""
_FROM_EVENTS: Final = """
    SELECT {key} AS key, session_id, user_id, 1 AS events, events.metric AS metric
    FROM (SELECT value FROM json_each(?)) AS stretch CROSS JOIN events
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


def is_summed(wanted: Filter, by: Dimension) -> bool:
    """Whether summaries of days have the answer."""
    return by.column in PARTS and set(wanted.equals) <= set(PARTS) and not wanted.metadata


def whole_days(since: datetime, until: datetime) -> tuple[str, str] | None:
    """The days that lie between as a whole: the first one, and the one after the last. ``None`` for none."""
    if since >= until:
        return None
    first, end = _day_of(since + timedelta(days=1, microseconds=-1)), _day_of(until)
    return (first, end) if first < end else None


def break_down(
    connection: sqlite3.Connection, wanted: Filter, times: tuple[datetime, datetime], by: Dimension, top: int
) -> Breakdown:
    """See :meth:`Figures.breakdown <tk_analytics_mw.storage.figures.Figures.breakdown>`.

    Args:
        connection: with a snapshot.
        wanted: its own times are left out of account.
        times: not before this moment, and before that one.
        by: what.
        top: how many values.
    """
    source = _source(connection, wanted, times, by)
    tallies = Tallies()
    # One row for each user of a session: the database has done most of it, and let other threads run meanwhile.
    for key, *row in connection.execute(_SUMS.format(source=source.sql), source.values):
        if isinstance(key, str) and key[0] in "{[" and by.column not in PARTS:
            key = canonical(json.loads(key))  # noqa: PLW2901 - the order of an object's keys says nothing
        tallies.add(key, *row)
    return tallies.result(top, lambda key: _value(key, by))


def _source(connection: sqlite3.Connection, wanted: Filter, times: tuple[datetime, datetime], by: Dimension) -> Source:
    in_object = by.column not in PARTS
    key = _OF_OBJECT.format(column=by.column) if in_object else by.column
    asked = (by.key,) if in_object else ()
    where, values = condition(replace(wanted, since=None, until=None))
    days = whole_days(*times) if is_summed(wanted, by) else None
    summed = summed_days(connection, wanted.org_id, *days) if days else []
    sql, all_values = "", ()
    if days and summed:
        sql, all_values = _FROM_DAYS.format(key=key, where=where), (*values, wanted.org_id, *days)
    since, until = map(text_of, times)
    stretches = json.dumps([*between(since, until, summed)])
    return Source(sql + _FROM_EVENTS.format(key=key, where=where), (*all_values, *asked, stretches, *values))


def between(since: str, until: str, days: list[str]) -> Iterator[tuple[str, str]]:
    """The stretches from ``since`` to ``until`` that are in none of the days."""
    for day in days:
        if since < day:
            yield since, day
        since = f"{day_after(day)}T00:00:00.000Z"
    if since < until:
        yield since, until


def _day_of(moment: datetime) -> str:
    return str(moment.astimezone(timezone.utc).date())


def _value(key: Any, by: Dimension) -> Any:
    return json.loads(key) if isinstance(key, str) and by.column not in PARTS else key
