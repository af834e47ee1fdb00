"""When events were: what a list reads first, from the few columns that say so.

Without ``FINAL``, along the table's own order, from either end, until there is enough. For that it is to be sorted by
what the table is sorted by and nothing else, and not from all of its months: to go along means to open each to begin
with. So a stretch at the end is looked through first, if the organisation's events reach beyond it. What is frequent is
found there. What is rare an index finds in all of the table, and that is sorted afterwards.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final, NamedTuple

from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.clickhouse.conditions import MOMENT, RARE, Condition, condition, milliseconds
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.rows import moment_of

WINDOW: Final = timedelta(days=31)
"""The stretch: of the table's months it takes one or two."""

AT_ONCE: Final = "max_threads = 1, max_block_size = 8192"
"""Settings for what is soon done: other threads would begin far behind its end, or take longer to begin at all."""

FEW: Final = frozenset({"id", "session_id", "user_id"})
"""Columns of whose values there are so few events that a stretch would hold none."""

_TIMES: Final = """
    SELECT groupArray(moment) FROM (
        SELECT toUnixTimestamp64Milli(created_at) AS moment FROM {events} WHERE {where}
        ORDER BY created_at {direction} LIMIT {{limit:UInt64}}
    ) SETTINGS {settings}
"""
_FROM: Final = f"created_at >= {MOMENT.format(name='behind')}"
_TO: Final = f"created_at <= {MOMENT.format(name='behind')}"

_STRETCHES: Final[dict[Order, str]] = {
    "newest": f"created_at >= {MOMENT.format(name='edge')}",
    "oldest": f"created_at <= {MOMENT.format(name='edge')}",
}
_END: Final = """
    SELECT toUnixTimestamp64Milli(created_at) FROM {events} WHERE org_id = {{org_id:String}}
    ORDER BY created_at {direction} LIMIT 1 SETTINGS optimize_read_in_order = 1
"""
REMEMBERED: Final = 600.0
"""Seconds for which it is remembered when the first and the last event of an organisation were."""


MOST: Final = 1_000
"""Organisations of which it is remembered."""


class Times(NamedTuple):
    """When events were that may be wanted."""

    moments: list[int]
    """Milliseconds since 1970, in order. An event that is stored twice has two, and one has a moment too that a row
    says something else of which does not count."""
    all: bool
    """Whether there are no others."""


def times_of(
    connections: Connections, wanted: Filter, order: Order, *, enough: int, most: int, after: Place | None = None
) -> Times:
    """When events were that may be wanted: the first ones.

    Args:
        connections: of the storage.
        wanted: which events.
        order: of these times.
        enough: so many, if there are.
        most: no more, where they are at hand.
        after: those behind this place, and those of its very moment.
    """
    where = condition(wanted)
    near = condition(wanted, hints=False)  # of some weeks most is read whatever an index says
    if after is not None:
        begins = milliseconds(moment_of(after.created_at))
        where, near = (each.also(_TO if order == "newest" else _FROM, behind=begins) for each in (where, near))
    at_once = f"optimize_read_in_order = 1, {AT_ONCE}"
    indexed = bool(wanted.metadata) or not (RARE | {"id"}).isdisjoint(wanted.equals)
    tries = [(where, f"optimize_read_in_order = 0, {AT_ONCE}" if indexed else "optimize_read_in_order = 1")]
    if FEW.isdisjoint(wanted.equals):
        edge = _edge(connections, order, near)
        if edge is None:
            tries = [(near, at_once)]
        else:
            tries.insert(0, (near.also(_STRETCHES[order], edge=edge), at_once))
    for each, settings in tries:
        sql = _TIMES.format(
            events=EVENTS, where=each.sql, direction="DESC" if order == "newest" else "ASC", settings=settings
        )
        [(moments,)] = connections.rows(sql, {**each.values, "limit": most})
        if len(moments) >= enough:
            break
    return Times(moments, all=each is tries[-1][0] and len(moments) < most)


def _edge(connections: Connections, order: Order, where: Condition) -> int | None:
    """How far the stretch goes that is looked through first; ``None`` if what is wanted does not reach beyond it."""
    oldest, newest = _ends(connections, where.values["org_id"])
    length = WINDOW // timedelta(milliseconds=1)
    first, last = max([oldest, *_bounds(where, "since")]), min([newest, *_bounds(where, "until")])
    if order == "newest":
        edge = min([last, *_bounds(where, "behind")]) - length
        return edge if edge > first else None
    edge = max([first, *_bounds(where, "behind")]) + length
    return edge if edge < last else None


def _bounds(where: Condition, *names: str) -> list[int]:
    return [where.values[name] for name in names if name in where.values]


def _ends(connections: Connections, org_id: str) -> tuple[int, int]:
    """When an organisation's first and last event were some minutes ago: that is near enough. Without any, 1970."""
    ends, now = connections.process.ends, time.monotonic()
    remembered = ends.get(org_id)
    if remembered is None or remembered[0] < now:
        rows = [
            connections.rows(_END.format(events=EVENTS, direction=direction), {"org_id": org_id})
            for direction in ("ASC", "DESC")
        ]
        oldest, newest = (found[0][0] if found else 0 for found in rows)
        if len(ends) >= MOST:
            ends.clear()
        ends[org_id] = remembered = now + REMEMBERED, oldest, newest
    return remembered[1:]
