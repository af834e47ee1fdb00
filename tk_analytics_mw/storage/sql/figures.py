"""Figures from an SQL database: from the hours that are kept counted where those have the answer, else from events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Text, cast, select

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.choices import TYPES, Choices, Step
from tk_analytics_mw.storage.figures import Attribute, Breakdown, Dimension, Reached
from tk_analytics_mw.storage.funnels import Funnel
from tk_analytics_mw.storage.sql.breakdowns import break_down
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.filters import conditions, shape_of, values_of
from tk_analytics_mw.storage.sql.schema import events
from tk_analytics_mw.storage.sql.spans import span
from tk_analytics_mw.storage.sql.totals import Day, Totals, missing_days
from tk_analytics_mw.storage.sql.views import count_events, count_hours, is_counted, whole_days

COUNTING: Final = 0.2
"""Seconds in which a question may sum up days. It looks at the events of the others."""

FETCHED: Final = 5_000
"""Rows that are fetched together."""


class SqlFigures:
    """Gives figures, each from a snapshot of its own.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._totals = Totals(connections)

    def span(self, org_id: str) -> tuple[datetime, datetime] | None:
        """See :meth:`Figures.span <tk_analytics_mw.storage.figures.Figures.span>`."""
        with self._connections.reading() as connection:
            return span(connection, org_id)

    def views(self, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
        """See :meth:`Figures.views <tk_analytics_mw.storage.figures.Figures.views>`."""
        with self._connections.reading() as connection:
            if not is_counted(wanted):
                return count_events(connection, wanted, edges)
            days = _missing(connection, wanted.org_id, edges[0], edges[-1])
            if not days:
                return count_hours(connection, wanted, edges)
        self._totals.sum_up(days, seconds=COUNTING)
        with self._connections.reading() as connection:
            return count_hours(connection, wanted, edges)

    def breakdown(self, wanted: Filter, by: Dimension, *, top: int) -> Breakdown:
        """See :meth:`Figures.breakdown <tk_analytics_mw.storage.figures.Figures.breakdown>`."""
        with self._connections.reading() as connection:
            return break_down(connection, wanted, by, top)

    def funnel(self, wanted: Filter, steps: Sequence[str], within: timedelta | None) -> list[Reached]:
        """See :meth:`Figures.funnel <tk_analytics_mw.storage.figures.Figures.funnel>`."""
        funnel = Funnel(steps, within)
        with self._sessions(wanted, sorted({*steps}), events.c.event_type, events.c.created_at) as sessions:
            for session in sessions:
                funnel.add([(event_type, created_at) for _, event_type, created_at in session])
        return funnel.result()

    def attributes(self, wanted: Filter) -> list[Attribute]:
        """See :meth:`Figures.attributes <tk_analytics_mw.storage.figures.Figures.attributes>`."""
        choices = Choices()
        columns = (events.c.event_type, events.c.asset_id, cast(events.c.configuration, Text))
        with self._sessions(wanted, TYPES, *columns) as sessions:
            for session in sessions:
                choices.add([Step(*event) for _, *event in session])
        return choices.result()

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """See :meth:`Figures.rebuild <tk_analytics_mw.storage.figures.Figures.rebuild>`."""
        self._totals.rebuild(progress or _no_progress)

    @contextmanager
    def _sessions(self, wanted: Filter, types: Sequence[str], *columns: Any) -> Iterator[Iterator[list[Any]]]:
        """The events of these types, session by session, each session's in the order of time."""
        with self._connections.reading() as connection:
            rows = connection.execute(
                select(events.c.session_id, *columns)
                .where(*conditions(shape_of(connection, wanted)), events.c.event_type.in_(types))
                .order_by(events.c.session_id, events.c.created_at, events.c.position),
                values_of(wanted),
                execution_options={"stream_results": True, "max_row_buffer": FETCHED},
            )
            yield (list(session) for _, session in groupby(rows, itemgetter(0)))
            rows.close()


def _missing(connection: Connection, org_id: str, since: datetime, until: datetime) -> list[Day]:
    """The whole days that are not summed up, as far as they are not before the organisation's first event or after its
    last one: so the day of that one is never asked for as a whole, and never summed up while it grows."""
    first, last = span(connection, org_id) or (_EPOCH, _EPOCH)
    days = whole_days(max(first, since), min(last + _MILLISECOND, until))
    return [] if days is None else missing_days(connection, org_id, *days)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND: Final = timedelta(milliseconds=1)


def _no_progress(_done: int, _of: int) -> None: ...
