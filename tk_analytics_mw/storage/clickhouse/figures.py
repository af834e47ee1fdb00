"""Figures from ClickHouse, each counted when it is asked for: nothing is kept counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Final

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.choices import TYPES, Choices, Step
from tk_analytics_mw.storage.clickhouse.breakdowns import break_down
from tk_analytics_mw.storage.clickhouse.conditions import condition
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.funnels import reached
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.clickhouse.sessions import moment_at
from tk_analytics_mw.storage.clickhouse.times import times_of
from tk_analytics_mw.storage.clickhouse.views import count_between
from tk_analytics_mw.storage.figures import Attribute, Breakdown, Dimension, Reached

_STEPS: Final = """
    SELECT session_id, event_type, asset_id, configuration FROM {events} FINAL
    WHERE {where} ORDER BY session_id, created_at, position
"""


class ClickHouseFigures:
    """Gives figures.

    Args:
        connections: of the storage.
        check: raises where the tables are not those of today.
    """

    def __init__(self, connections: Connections, check: Callable[[], None]) -> None:
        self._connections = connections
        self._check = check

    def span(self, org_id: str) -> tuple[datetime, datetime] | None:
        """See :meth:`Figures.span <tk_analytics_mw.storage.figures.Figures.span>`."""
        self._check()
        whose = Filter(org_id)
        first, last = (
            times_of(self._connections, whose, order, enough=1, most=1).moments for order in ("oldest", "newest")
        )
        return (moment_at(first[0]), moment_at(last[0])) if first and last else None

    def views(self, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
        """See :meth:`Figures.views <tk_analytics_mw.storage.figures.Figures.views>`."""
        self._check()
        return count_between(self._connections, wanted, edges)

    def breakdown(self, wanted: Filter, by: Dimension, *, top: int) -> Breakdown:
        """See :meth:`Figures.breakdown <tk_analytics_mw.storage.figures.Figures.breakdown>`."""
        self._check()
        return break_down(self._connections, wanted, by, top)

    def funnel(self, wanted: Filter, steps: Sequence[str], within: timedelta | None) -> list[Reached]:
        """See :meth:`Figures.funnel <tk_analytics_mw.storage.figures.Figures.funnel>`."""
        self._check()
        return reached(self._connections, wanted, steps, within)

    def attributes(self, wanted: Filter) -> list[Attribute]:
        """See :meth:`Figures.attributes <tk_analytics_mw.storage.figures.Figures.attributes>`."""
        self._check()
        where = condition(wanted).also("event_type IN {types:Array(String)}", types=list(TYPES))
        rows = self._connections.rows(_STEPS.format(events=EVENTS, where=where.sql), where.values)
        choices = Choices()
        for _, events in groupby(rows, itemgetter(0)):
            choices.add([Step(*event) for _, *event in events])
        return choices.result()

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """See :meth:`Figures.rebuild <tk_analytics_mw.storage.figures.Figures.rebuild>`. Nothing is kept counted."""
