"""How many events there are in stretches of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Final

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.clickhouse.conditions import condition, milliseconds
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS

_COUNTS: Final = """
    SELECT roundDown(toUnixTimestamp64Milli(created_at), {{edges:Array(Int64)}}) AS start, count()
    FROM {events} FINAL WHERE {where} GROUP BY start
"""


def count_between(connections: Connections, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
    """See :meth:`Figures.views <tk_analytics_mw.storage.figures.Figures.views>`."""
    if len(edges) < 2:
        return []
    starts = [milliseconds(edge) for edge in edges]
    where = condition(replace(wanted, since=edges[0], until=edges[-1]))
    counts = dict(
        connections.rows(_COUNTS.format(events=EVENTS, where=where.sql), {**where.values, "edges": sorted({*starts})})
    )
    # Of edges within one millisecond all but the last one begin a stretch that nothing can be in.
    return [counts.get(start, 0) if start != following else 0 for start, following in pairwise(starts)]
