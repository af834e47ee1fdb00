"""Figures from the SQLite file: from what is kept counted where that has the answer, else from the events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, Final

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.choices import TYPES, Choices, Step
from tk_analytics_mw.storage.figures import Attribute, Breakdown, Dimension, Reached
from tk_analytics_mw.storage.funnels import Funnel
from tk_analytics_mw.storage.rows import moment_of
from tk_analytics_mw.storage.sqlite.breakdowns import break_down, whole_days
from tk_analytics_mw.storage.sqlite.connections import Connections
from tk_analytics_mw.storage.sqlite.filters import condition, text_of
from tk_analytics_mw.storage.sqlite.summaries import Summaries
from tk_analytics_mw.storage.sqlite.totals import ALL_TYPES

# For each [from, to] of a list, in its order.
_HOURS: Final = """
    SELECT (
        SELECT coalesce(sum(events), 0) FROM hour_totals
        WHERE org_id = ? AND event_type = ?
            AND hour >= json_extract(period.value, '$[0]') AND hour < json_extract(period.value, '$[1]')
    ) FROM json_each(?) AS period ORDER BY period.key
"""
_EVENTS: Final = """
    SELECT (
        SELECT count(*) FROM events
        WHERE {where}
            AND created_at >= json_extract(period.value, '$[0]') AND created_at < json_extract(period.value, '$[1]')
    ) FROM json_each(?) AS period ORDER BY period.key
"""


class SqliteFigures:
    """Gives figures, each from a snapshot of its own.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._summaries = Summaries(connections)

    def span(self, org_id: str) -> tuple[datetime, datetime] | None:
        """See :meth:`Figures.span <tk_analytics_mw.storage.figures.Figures.span>`."""
        with self._connections.reading() as connection:
            first, last = (
                connection.execute(f"SELECT {which}(created_at) FROM events WHERE org_id = ?", (org_id,)).fetchone()[0]  # noqa: S608
                for which in ("min", "max")
            )
        return None if first is None else (moment_of(first), moment_of(last))

    def views(self, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
        """See :meth:`Figures.views <tk_analytics_mw.storage.figures.Figures.views>`."""
        stretches = [*pairwise(edges)]
        with self._connections.reading() as connection:
            if set(wanted.equals) <= {"event_type"} and not wanted.metadata:
                return _from_totals(connection, wanted, stretches)
            return _from_events(connection, wanted, stretches)

    def breakdown(self, wanted: Filter, by: Dimension, *, top: int) -> Breakdown:
        """See :meth:`Figures.breakdown <tk_analytics_mw.storage.figures.Figures.breakdown>`."""
        wanted = self._within_span(wanted)
        days = whole_days(wanted, by)
        if days is not None:
            self._summaries.prepare(wanted.org_id, *days)
        with self._connections.reading() as connection:
            return break_down(connection, wanted, by, top)

    def funnel(self, wanted: Filter, steps: Sequence[str], within: timedelta | None) -> list[Reached]:
        """See :meth:`Figures.funnel <tk_analytics_mw.storage.figures.Figures.funnel>`."""
        funnel = Funnel(steps, within)
        with self._sessions(wanted, sorted({*steps}), "event_type, created_at") as sessions:
            for events in sessions:
                funnel.add([(event_type, moment_of(created_at)) for _, event_type, created_at in events])
        return funnel.result()

    def attributes(self, wanted: Filter) -> list[Attribute]:
        """See :meth:`Figures.attributes <tk_analytics_mw.storage.figures.Figures.attributes>`."""
        choices = Choices()
        with self._sessions(wanted, TYPES, "event_type, asset_id, configuration") as sessions:
            for events in sessions:
                choices.add([Step(*event) for _, *event in events])
        return choices.result()

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """See :meth:`Figures.rebuild <tk_analytics_mw.storage.figures.Figures.rebuild>`."""
        self._summaries.rebuild(progress or _no_progress)

    @contextmanager
    def _sessions(self, wanted: Filter, types: Sequence[str], columns: str) -> Iterator[Iterator[list[Any]]]:
        """The events of these types, session by session, each session's in the order of time."""
        where, values = condition(wanted)
        with self._connections.reading() as connection:
            rows = connection.execute(
                f"SELECT session_id, {columns} FROM events "  # noqa: S608 - names of columns
                f"WHERE {where} AND event_type IN ({', '.join('?' * len(types))}) "
                "ORDER BY session_id, created_at, position",
                (*values, *types),
            )
            yield (list(events) for _, events in groupby(rows, itemgetter(0)))
            rows.close()

    def _within_span(self, wanted: Filter) -> Filter:
        """The same events, with times of which neither is before the first event or after the last one.

        So the day of the last event is never asked for as a whole, and never summed up while it grows.
        """
        first, last = self.span(wanted.org_id) or (_EPOCH, _EPOCH)
        return replace(
            wanted,
            since=first if wanted.since is None else max(first, wanted.since),
            until=last + _MILLISECOND if wanted.until is None else min(last + _MILLISECOND, wanted.until),
        )


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND: Final = timedelta(milliseconds=1)


def _no_progress(_done: int, _of: int) -> None: ...


def _from_totals(connection: Any, wanted: Filter, stretches: Sequence[tuple[datetime, datetime]]) -> list[int]:
    """Whole hours are in the totals. What a stretch has besides, at its ends, is counted."""
    hours, rests = [], []
    for number, (start, end) in enumerate(stretches):
        first, last = _hour(start + timedelta(hours=1, microseconds=-1)), _hour(end)
        if first > last:  # all of it within one hour
            first = last = start
        hours.append((text_of(first)[:13], text_of(last)[:13]))
        rests += [(number, rest) for rest in ((start, first), (last, end)) if rest[0] < rest[1]]
    event_type = wanted.equals.get("event_type", ALL_TYPES)
    rows = connection.execute(_HOURS, (wanted.org_id, event_type, json.dumps(hours)))
    counts = [count for (count,) in rows]
    counted = _from_events(connection, wanted, [rest for _, rest in rests]) if rests else []
    for (number, _), count in zip(rests, counted, strict=True):
        counts[number] += count
    return counts


def _from_events(connection: Any, wanted: Filter, stretches: Sequence[tuple[datetime, datetime]]) -> list[int]:
    where, values = condition(replace(wanted, since=None, until=None))
    texts = json.dumps([(text_of(start), text_of(end)) for start, end in stretches])
    rows = connection.execute(_EVENTS.format(where=where), (*values, texts))
    return [count for (count,) in rows]


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
