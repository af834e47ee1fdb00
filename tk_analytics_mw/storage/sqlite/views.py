"""How many events there are from one moment to the next: from the hours of summed days, and from the events."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.sqlite.breakdowns import between
from tk_analytics_mw.storage.sqlite.filters import condition, text_of
from tk_analytics_mw.storage.sqlite.summaries import summed_days
from tk_analytics_mw.storage.sqlite.totals import ALL_TYPES

# For each [from, to] of a list, in its order.
_HOURS: Final = """
    SELECT (
        SELECT coalesce(sum(events), 0) FROM hour_totals
        WHERE org_id = ? AND event_type = ?
            AND hour >= json_extract(stretch.value, '$[0]') AND hour < json_extract(stretch.value, '$[1]')
    ) FROM json_each(?) AS stretch ORDER BY stretch.key
"""
_EVENTS: Final = """
    SELECT (
        SELECT count(*) FROM events
        WHERE {where}
            AND created_at >= json_extract(stretch.value, '$[0]') AND created_at < json_extract(stretch.value, '$[1]')
    ) FROM json_each(?) AS stretch ORDER BY stretch.key
"""

Stretch = tuple[str, str]
"""From a moment to before another one, both as ``created_at`` is stored."""


def is_counted(wanted: Filter) -> bool:
    """Whether hours are counted for this."""
    return set(wanted.equals) <= {"event_type"} and not wanted.metadata


def count_events(connection: sqlite3.Connection, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
    """Look at the events. See :meth:`Figures.views <tk_analytics_mw.storage.figures.Figures.views>`."""
    return _count(connection, wanted, [*pairwise(map(text_of, edges))])


def count_hours(connection: sqlite3.Connection, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
    """Look at the hours of summed days, and at the events of what is not an hour, or of another day.

    Args:
        connection: with a snapshot.
        wanted: for which :func:`is_counted` is true.
        edges: ascending.
    """
    since, until = text_of(edges[0]), text_of(edges[-1])
    summed = summed_days(connection, wanted.org_id, since[:10], f"{until[:10]}U")
    if not summed:
        return count_events(connection, wanted, edges)
    hours: list[Stretch] = []
    rest: list[tuple[Stretch, ...]] = []
    for start, end in pairwise(edges):
        first, last = _hour(start + _ALMOST_AN_HOUR), _hour(end)
        if first < last:
            hours.append((text_of(first), text_of(last)))
            rest.append(((text_of(start), hours[-1][0]), (hours[-1][1], text_of(end))))
        else:
            hours.append((text_of(start), text_of(start)))
            rest.append(((text_of(start), text_of(end)),))
    event_type = wanted.equals.get("event_type", ALL_TYPES)
    texts = json.dumps([(first[:13], last[:13]) for first, last in hours])
    counts = [count for (count,) in connection.execute(_HOURS, (wanted.org_id, event_type, texts))]
    others = [(number, stretch) for number, stretches in enumerate(rest) for stretch in stretches]
    others += _overlaps(hours, [*between(since, until, summed)])
    others = [(number, stretch) for number, stretch in others if stretch[0] < stretch[1]]
    for (number, _), count in zip(others, _count(connection, wanted, [each for _, each in others]), strict=True):
        counts[number] += count
    return counts


def _count(connection: sqlite3.Connection, wanted: Filter, stretches: Sequence[Stretch]) -> list[int]:
    where, values = condition(replace(wanted, since=None, until=None))
    rows = connection.execute(_EVENTS.format(where=where), (*values, json.dumps(stretches)))
    return [count for (count,) in rows]


def _overlaps(these: Sequence[Stretch], those: Sequence[Stretch]) -> Iterator[tuple[int, Stretch]]:
    """What both have in common, with the place in ``these``. Both are ascending."""
    number = 0
    for start, end in those:
        while number and these[number - 1][1] > start:
            number -= 1
        while number < len(these) and these[number][0] < end:
            yield number, (max(start, these[number][0]), min(end, these[number][1]))
            number += 1


_ALMOST_AN_HOUR: Final = timedelta(hours=1, microseconds=-1)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
