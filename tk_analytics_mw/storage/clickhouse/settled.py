"""Parts of the table whose rows count as they are, so that nothing has to be merged to read them.

Of the rows of one id the first one counts, and all rows of an id are of one month. So where a month was one part once,
what that part has is what counts: a row that came later, in another part, does not. (The part is to have been there for
a while, for an insert that began before another may end after it.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Set
from typing import Final

from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS

QUIET: Final = 60
"""Seconds for which a part has been there, beside those that an insert may take: clocks differ a little."""

AGAIN: Final = 60.0
"""Seconds after which it is looked again for a part that was none of them."""

REMEMBERED: Final = 600.0
"""Seconds after which it is looked again in any case: an emptied table may give its parts the same names again."""

_SETTLED: Final = f"""
    SELECT any(name) FROM system.parts
    WHERE active AND database = currentDatabase() AND table = '{EVENTS}'
    GROUP BY partition_id HAVING count() = 1 AND max(modification_time) <= now() - {{quiet:Int64}}
"""  # noqa: S608


def settled(connections: Connections, parts: Set[str]) -> bool:
    """Whether every row of these parts counts.

    Args:
        connections: of the storage. Not of a cluster: its servers have parts of the same names.
        parts: their names.
    """
    process, now = connections.process, time.monotonic()
    looked_at, known = process.settled
    patience = REMEMBERED if parts <= known else AGAIN
    if now - looked_at > patience:
        quiet = QUIET + math.ceil(connections.timeout)
        known = frozenset(name for (name,) in connections.rows(_SETTLED, {"quiet": quiet}))
        process.settled = now, known
    return parts <= known
