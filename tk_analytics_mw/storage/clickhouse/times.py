"""When events were: what a list reads first, from the few columns that say so.

Without ``FINAL``, along the table's own order, from either end, until there is enough. For that it is to be sorted by
what the table is sorted by and nothing else, and not from all of its months: to go along means to open each to begin
with. So a stretch at the end is looked through first. What is frequent is found there. What is rare an index finds in
all of the table, and that is sorted afterwards.
"""

from __future__ import annotations

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
    SELECT groupArray(moment), uniqExact(id) FROM (
        SELECT toUnixTimestamp64Milli(created_at) AS moment, id FROM {events} WHERE {where}
        ORDER BY created_at {direction} LIMIT {{limit:UInt64}}
    ) SETTINGS {settings}
"""
_FROM: Final = f"created_at >= {MOMENT.format(name='behind')}"
_TO: Final = f"created_at <= {MOMENT.format(name='behind')}"

# From the first or the last event of whomever, if it is not asked for less: the table knows them without reading.
_EDGE: Final = MOMENT.format(name="edge")
_LENGTH: Final = f"INTERVAL {WINDOW.days} DAY"
_STRETCHES: Final[dict[Order, str]] = {
    "newest": f"created_at >= least((SELECT max(created_at) FROM {EVENTS}), {_EDGE}) - {_LENGTH}",  # noqa: S608
    "oldest": f"created_at <= greatest((SELECT min(created_at) FROM {EVENTS}), {_EDGE}) + {_LENGTH}",  # noqa: S608
}
_EDGES: Final[dict[Order, int]] = {"newest": 4_102_444_800_000, "oldest": 0}
"""Where nothing is asked for: 2100 and 1970."""


class Times(NamedTuple):
    """When events were that may be wanted."""

    moments: list[int]
    """Milliseconds since 1970, in order. An event that is stored twice has two, and one has a moment too that a row
    says something else of which does not count."""
    events: int
    """So many different ids these are of."""
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
    if after is not None:
        begins = milliseconds(moment_of(after.created_at))
        where = where.also(_TO if order == "newest" else _FROM, behind=begins)
    indexed = bool(wanted.metadata) or not (RARE | {"id"}).isdisjoint(wanted.equals)
    tries = [(where, f"optimize_read_in_order = 0, {AT_ONCE}" if indexed else "optimize_read_in_order = 1")]
    if FEW.isdisjoint(wanted.equals):
        tries.insert(0, (_stretch(wanted, where, order), f"optimize_read_in_order = 1, {AT_ONCE}"))
    for each, settings in tries:
        sql = _TIMES.format(
            events=EVENTS, where=each.sql, direction="DESC" if order == "newest" else "ASC", settings=settings
        )
        [(moments, events)] = connections.rows(sql, {**each.values, "limit": most})
        if len(moments) >= enough:
            break
    return Times(moments, events, all=each is where and len(moments) < most)


def _stretch(wanted: Filter, where: Condition, order: Order) -> Condition:
    """Where to look first."""
    edge = wanted.until if order == "newest" else wanted.since
    edges = [where.values.get("behind"), _EDGES[order] if edge is None else milliseconds(edge)]
    nearest = min if order == "newest" else max
    return where.also(_STRETCHES[order], edge=nearest(each for each in edges if each is not None))
