"""Events in ClickHouse, for shops of a size that needs a cluster; or in its engine within the process.

No transaction joins two statements there. So this storage offers what one statement can promise, and nothing more:
events, their reads, figures and erasure; no durable hooks, no stored tokens.

An event is stored by one insert and without a look at what is there: its table is a ReplacingMergeTree whose rows of
one id count as one, the first. ClickHouse itself removes the others when it merges, and every read says ``FINAL``, so
that it makes no difference whether it has. Where nothing is repeated, which is nearly always, that costs nothing.
"""

from tk_analytics_mw.storage.clickhouse.storage import ClickHouseStorage
from tk_analytics_mw.storage.clickhouse.target import Target, engine_target, server_target

__all__ = ["ClickHouseStorage", "Target", "engine_target", "server_target"]
