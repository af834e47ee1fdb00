"""Figures from the SQLite file: from what is kept counted where that has the answer, else from the events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.choices import TYPES, Choices, Step
from tk_analytics_mw.storage.figures import Attribute, Breakdown, Dimension, Reached
from tk_analytics_mw.storage.funnels import Funnel
from tk_analytics_mw.storage.rows import moment_of
from tk_analytics_mw.storage.sqlite.breakdowns import break_down, is_summed, whole_days
from tk_analytics_mw.storage.sqlite.connections import Connections
from tk_analytics_mw.storage.sqlite.filters import condition
from tk_analytics_mw.storage.sqlite.postings import Postings
from tk_analytics_mw.storage.sqlite.summaries import COUNTS_FASTER, Summaries
from tk_analytics_mw.storage.sqlite.views import count_events, count_hours, is_counted

COUNTING: Final = 0.2
"""Seconds in which a question that only counts events may sum up days. It looks at the events of the others, some
10,000,000 a second."""

SUMMING: Final = 1.0
"""The same for one that has to tell sessions and users apart, some 600,000 events a second."""


class SqliteFigures:
    """Gives figures, each from a snapshot of its own.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._summaries = Summaries(connections)
        self._postings = Postings(connections)

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
        if not is_counted(wanted):
            with self._connections.reading() as connection:
                return count_events(connection, wanted, edges)
        days = whole_days(*self._within_span(wanted.org_id, edges[0], edges[-1]))
        if days is not None:
            self._summaries.prepare(wanted.org_id, *days, seconds=COUNTING, faster=COUNTS_FASTER)
        with self._connections.reading() as connection:
            return count_hours(connection, wanted, edges)

    def breakdown(self, wanted: Filter, by: Dimension, *, top: int) -> Breakdown:
        """See :meth:`Figures.breakdown <tk_analytics_mw.storage.figures.Figures.breakdown>`."""
        since, until = self._within_span(wanted.org_id, wanted.since, wanted.until)
        days = whole_days(since, until)
        if days is not None and is_summed(wanted, by):
            self._summaries.prepare(wanted.org_id, *days, seconds=SUMMING, faster=1)
        with self._connections.reading() as connection:
            return break_down(connection, wanted, (since, until), by, top)

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
        report = progress or _no_progress
        segments = self._postings.missing()
        days = self._summaries.rebuild(lambda done, days: report(done, days + len(segments)))
        for number, segment in enumerate(segments, start=1):
            self._postings.look_at(segment)
            report(days + number, days + len(segments))

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

    def _within_span(self, org_id: str, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
        """The same time, as far as it is not before the organisation's first event or after its last one.

        So the day of the last event is never asked for as a whole, and never summed up while it grows.
        """
        first, last = self.span(org_id) or (_EPOCH, _EPOCH)
        end = last + _MILLISECOND
        return first if since is None else max(first, since), end if until is None else min(end, until)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND: Final = timedelta(milliseconds=1)


def _no_progress(_done: int, _of: int) -> None: ...
