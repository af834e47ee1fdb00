"""Looking over ClickHouse: whether it is there, its tables, its disk and its clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Final

from tk_analytics_mw.errors import ReadTooLong, StorageUnavailable
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS, LOCAL
from tk_analytics_mw.storage.examination import Finding

LOW: Final = 10 << 30
"""Bytes free on the server's disk: to merge the largest parts it needs as much again as they have."""

SKEW: Final = 60.0
"""Seconds between two clocks."""

MANY_PARTS: Final = 300
"""Of one month, from which on inserts are slowed down: merging is behind."""

OLDEST: Final = (24, 8)
"""Of the servers this is written for: Snowflake ids, and indexes that help a ``FINAL``."""

_PARTS: Final = """
    SELECT count() AS number FROM system.parts
    WHERE active AND database = currentDatabase() AND table IN ({tables})
    GROUP BY partition ORDER BY number DESC LIMIT 1
"""


def examine(connections: Connections, pending: Callable[[], Sequence[str]]) -> Iterator[Finding]:
    """See :class:`~tk_analytics_mw.storage.examination.ExaminedStorage`."""
    try:
        [(version, now)] = connections.rows("SELECT version(), toUnixTimestamp64Milli(now64(3))", {})
        yield _version(version)
        yield _clock(now / 1000)
        yield from _tables(connections, pending())
    except (StorageUnavailable, ReadTooLong) as error:
        yield Finding("error", str(error), "Every event gets 503 until it is there.")


def _version(version: str) -> Finding:
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers < OLDEST:
        return Finding(
            "error",
            f"ClickHouse {version} is too old",
            f"Use {'.'.join(map(str, OLDEST))} or later.",
        )
    return Finding("ok", f"ClickHouse {version}")


def _clock(server: float) -> Finding:
    skew = abs(datetime.now(timezone.utc).timestamp() - server)
    if skew > SKEW:
        return Finding(
            "error",
            f"the server's clock and this one's are {skew:.0f} s apart",
            "Set them, and let NTP keep them: events get their time here and their order there.",
        )
    return Finding("ok", "the server's clock shows what this one shows")


def _tables(connections: Connections, pending: Sequence[str]) -> Iterator[Finding]:
    if pending:
        yield Finding("error", f"migrations are to be applied: {', '.join(pending)}", "tk-analytics migrate")
        return
    rows = connections.rows(_PARTS.format(tables=f"'{EVENTS}', '{LOCAL}'"), {})
    most = rows[0][0] if rows else 0
    if most > MANY_PARTS:
        yield Finding(
            "warning",
            f"a month has {most} parts: ClickHouse merges more slowly than events come",
            "Give the server more processors or a faster disk.",
        )
    else:
        yield Finding("ok", "the tables are there, and merged")
    disks = connections.rows("SELECT name, free_space FROM system.disks WHERE type = 'Local'", {})
    for name, free in disks:
        if free < LOW:
            yield Finding(
                "warning", f"{free >> 30} GB are free on the disk {name!r}", "Make room, or keep less (retain_days)."
            )
