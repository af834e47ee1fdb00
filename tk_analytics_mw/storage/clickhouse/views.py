"""How many events there are in stretches of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from math import gcd
from typing import Final

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.clickhouse.conditions import condition, milliseconds
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS

MINUTE: Final = 60_000
"""Milliseconds."""

# Which stretch each event is in takes longer to find than in which slot of time, where all stretches begin with one.
_BY_SLOT: Final = """
    SELECT roundDown(slot * {{slot_length:Int64}}, {{edges:Array(Int64)}}) AS start, sum(events)
    FROM (
        SELECT intDiv(toUnixTimestamp64Milli(created_at), {{slot_length:Int64}}) AS slot, count() AS events
        FROM {events} FINAL WHERE {where} GROUP BY slot
    )
    GROUP BY start
"""
_ONE_BY_ONE: Final = """
    SELECT roundDown(toUnixTimestamp64Milli(created_at), {{edges:Array(Int64)}}) AS start, count()
    FROM {events} FINAL WHERE {where} GROUP BY start
"""


def count_between(connections: Connections, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
    """See :meth:`Figures.views <tk_analytics_mw.storage.figures.Figures.views>`."""
    if len(edges) < 2:
        return []
    starts = [milliseconds(edge) for edge in edges]
    where = condition(replace(wanted, since=edges[0], until=edges[-1]))
    slot = gcd(*starts[1:-1])  # the first edge and the last one are bounds anyway
    sql = _BY_SLOT if slot >= MINUTE else _ONE_BY_ONE
    values = {**where.values, "edges": sorted({*starts}), "slot_length": slot}
    counts = dict(connections.rows(sql.format(events=EVENTS, where=where.sql), values))
    # Of edges within one millisecond all but the last one begin a stretch that nothing can be in.
    return [counts.get(start, 0) if start != following else 0 for start, following in pairwise(starts)]
