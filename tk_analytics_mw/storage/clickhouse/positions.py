"""The order of commits, as far as an engine without transactions has one.

A row's position is made by the server when it is inserted: a Snowflake id, which is greater than all that this server
made before. But one insert may begin earlier than another and end later. So "up to here everything is there" takes a
look at who is inserting: the oldest insert that still runs began at some moment, and all it stores has a later
position than that. What is asked for up to then is complete, and what comes later lies behind it.

In a cluster each server is asked, for its clock is its own.
"""

from __future__ import annotations

from typing import Final

from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS

_STEP: Final = 1 << 22
"""Of Snowflake ids, in a millisecond."""

_SLACK: Final = 5
"""Milliseconds: the list of what runs counts them by another clock."""

# The id is made before the look at what runs: a subquery that gives one value is computed first.
_BOUND: Final = f"""
    WITH (SELECT generateSnowflakeID()) AS made
    SELECT least(made, if(
        count() = 0,
        made,
        toUInt64(toUnixTimestamp64Milli(now64(3)) - toInt64(max(elapsed) * 1000) - {_SLACK}) * {_STEP}
    )) AS bound
    FROM system.processes
    WHERE query_kind IN ('Insert', 'AsyncInsertFlush') AND position(query, '{EVENTS}') > 0
"""  # noqa: S608
_ON_ALL: Final = "SELECT min(bound) FROM clusterAllReplicas('{cluster}', view({bound}))"
_ANY: Final = f"SELECT 1 FROM {EVENTS} LIMIT 1"  # noqa: S608


def last_position(connections: Connections) -> int:
    """A position up to which all is there that will ever be; 0 without any event."""
    cluster = connections.target.cluster
    sql = _BOUND if cluster is None else _ON_ALL.format(cluster=cluster, bound=_BOUND)
    [(bound,)] = connections.rows(sql, {})
    return int(bound) if connections.rows(_ANY, {}) else 0
