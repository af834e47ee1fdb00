"""Erasing events from ClickHouse: their rows, and the parts of the table that still have them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any, Final

from tk_analytics_mw.storage.clickhouse.conditions import ID, MOMENT, Condition, milliseconds
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.positions import last_position
from tk_analytics_mw.storage.clickhouse.schema import EVENTS, LOCAL
from tk_analytics_mw.storage.erasure import SLICE, Erased, Progress, Subject

PATIENCE: Final = 10.0
"""Seconds that :meth:`ClickHouseErasure.finish` waits for old parts to go."""

# Every replica has done it when the statement returns. A cluster's servers look up the same ids, each among its own.
_SYNCED: Final = {"mutations_sync": 2, "lightweight_deletes_sync": 2, "allow_nondeterministic_mutations": 1}

_KEY: Final = "(org_id, created_at, id)"
_OLDEST: Final = f"""
    SELECT toUnixTimestamp64Milli(created_at), lower(hex(id)) FROM {EVENTS} FINAL
    WHERE created_at < {MOMENT.format(name="before")} ORDER BY created_at, id LIMIT {{limit:UInt64}}
"""  # noqa: S608
_UP_TO: Final = f"(created_at, id) <= ({MOMENT.format(name='last')}, {ID.format(name='last_id')})"


class ClickHouseErasure:
    """See :class:`~tk_analytics_mw.storage.erasure.Erasure`.

    Args:
        connections: of the storage.
        check: raises where the tables are not those of today.
    """

    def __init__(self, connections: Connections, check: Callable[[], None]) -> None:
        self._connections = connections
        self._check = check
        cluster = connections.target.cluster
        self._table = EVENTS if cluster is None else f"{LOCAL} ON CLUSTER '{cluster}'"
        self._rows = EVENTS if cluster is None else LOCAL

    def organisations(self, subject: Subject) -> list[str]:
        """See :meth:`Erasure.organisations <tk_analytics_mw.storage.erasure.Erasure.organisations>`."""
        self._check()
        where = _condition(subject)
        rows = self._connections.rows(
            f"SELECT DISTINCT org_id FROM {EVENTS} FINAL WHERE {where.sql} ORDER BY org_id",  # noqa: S608
            where.values,
        )
        return [org_id for (org_id,) in rows]

    def erase(self, subject: Subject) -> Iterator[Progress]:
        """See :meth:`Erasure.erase <tk_analytics_mw.storage.erasure.Erasure.erase>`.

        It is one statement, which writes the parts anew that have such events; nobody waits for it who writes.
        """
        self._check()
        where = _condition(subject).also("position <= {up_to:UInt64}", up_to=last_position(self._connections))
        events = self._count(where)
        # Also the rows that do not count because their id was stored before, by somebody else's hand even.
        rows = f"(({where.sql}) OR {_KEY} IN (SELECT {_KEY} FROM {self._rows} FINAL WHERE {where.sql}))"  # noqa: S608
        self._do(f"ALTER TABLE {self._table} DELETE WHERE {rows}", where.values)
        yield Progress(Erased(events), events, events)

    def count(self, before: datetime) -> int:
        """See :meth:`Erasure.count <tk_analytics_mw.storage.erasure.Erasure.count>`."""
        self._check()
        return self._count(_older(before))

    def purge(self, before: datetime, limit: int = SLICE) -> Erased:
        """See :meth:`Erasure.purge <tk_analytics_mw.storage.erasure.Erasure.purge>`.

        A month that is older as a whole goes at once, however much it is: that costs nothing. Of others the rows
        are marked, and go when ClickHouse merges, or with :meth:`finish`.
        """
        self._check()
        month = self._whole_month(before)
        if month is not None:
            erased = Erased(self._count(Condition("toYYYYMM(created_at) = {month:UInt32}", {"month": month})))
            self._do(f"ALTER TABLE {self._table} DROP PARTITION {month:d}", {})
            return erased
        oldest = self._connections.rows(_OLDEST, {"before": milliseconds(before), "limit": limit})
        if not oldest:
            return Erased()
        last, last_id = oldest[-1]
        self._do(f"DELETE FROM {self._table} WHERE {_UP_TO}", {"last": last, "last_id": last_id})  # noqa: S608
        return Erased(len(oldest))

    def finish(self) -> bool:
        """See :meth:`Erasure.finish <tk_analytics_mw.storage.erasure.Erasure.finish>`.

        Rows that are marked are written off, and parts that were replaced are removed at once and not in some
        minutes. ``False`` where they are still there after :data:`PATIENCE`: a question reads them, or a replica takes
        its time. What a backup or the server's own query log has is out of reach.
        """
        self._check()
        self._do(f"ALTER TABLE {self._table} APPLY DELETED MASK", {})
        self._do(f"ALTER TABLE {self._table} MODIFY SETTING old_parts_lifetime = 0", {})
        try:
            # Whoever drops a partition sees to old parts at once, and there is none of that month.
            self._do(f"ALTER TABLE {self._table} DROP PARTITION 190001", {})
            deadline = time.monotonic() + PATIENCE
            while left := self._replaced():
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
        finally:
            self._do(f"ALTER TABLE {self._table} RESET SETTING old_parts_lifetime", {})
        return left == 0

    def _whole_month(self, before: datetime) -> int | None:
        """The first month that is older than this as a whole."""
        before = before.astimezone(timezone.utc)
        where = Condition("created_at < " + MOMENT.format(name="before"), {"before": milliseconds(before)})
        [(first,)] = self._connections.rows(
            f"SELECT min(toYYYYMM(created_at)) FROM {EVENTS} WHERE {where.sql}",  # noqa: S608
            where.values,
        )
        return first if 0 < first < before.year * 100 + before.month else None

    def _count(self, where: Condition) -> int:
        [(events,)] = self._connections.rows(
            f"SELECT count() FROM {EVENTS} FINAL WHERE {where.sql}",  # noqa: S608
            where.values,
        )
        return int(events)

    def _replaced(self) -> int:
        """How many parts there are that no question that is asked now would read."""
        cluster = self._connections.target.cluster
        parts = "system.parts" if cluster is None else f"clusterAllReplicas('{cluster}', system.parts)"
        [(number,)] = self._connections.rows(
            f"SELECT count() FROM {parts} WHERE database = currentDatabase() AND table = '{self._rows}' "  # noqa: S608
            "AND NOT active AND rows > 0",
            {},
        )
        return int(number)

    def _do(self, sql: str, values: dict[str, Any] | Any) -> None:
        with self._connections.working() as client:
            client.raw_query(sql, parameters=dict(values), settings=_SYNCED)  # a command's values are in the URL


def _condition(subject: Subject) -> Condition:
    asked = {
        name: value for name in ("org_id", "user_id", "session_id") if (value := getattr(subject, name)) is not None
    }
    return Condition(
        " AND ".join(f"{name} = {{of_{name}:String}}" for name in asked),
        {f"of_{name}": value for name, value in asked.items()},
    )


def _older(before: datetime) -> Condition:
    return Condition("created_at < " + MOMENT.format(name="before"), {"before": milliseconds(before)})
