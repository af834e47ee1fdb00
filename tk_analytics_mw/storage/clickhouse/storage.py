"""The ClickHouse storage: events in the table ``tk_analytics_events``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.clickhouse import schema
from tk_analytics_mw.storage.clickhouse.binding import divided
from tk_analytics_mw.storage.clickhouse.columns import INSERTED, event_of_record, packed
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.erasure import ClickHouseErasure
from tk_analytics_mw.storage.clickhouse.examination import examine
from tk_analytics_mw.storage.clickhouse.figures import ClickHouseFigures
from tk_analytics_mw.storage.clickhouse.reads import ClickHouseReader
from tk_analytics_mw.storage.clickhouse.survey import organisations, survey
from tk_analytics_mw.storage.clickhouse.target import Target
from tk_analytics_mw.storage.examination import Finding
from tk_analytics_mw.storage.survey import Survey

Durability = Literal["full", "relaxed"]

TIMEOUT: Final = 5.0
"""Seconds that a write may take, unless it is said otherwise."""

# The server gathers what several hosts send, and answers when it is stored. It need not recognise blocks that were
# sent before: an id counts once however often it is stored, and one that was erased may come again.
_ON_SERVER: Final = {"async_insert": 1, "wait_for_async_insert": 1, "async_insert_deduplicate": 0}
_INSERT: Final = {"insert_deduplicate": 0}
_IN_CLUSTER: Final = {"insert_quorum": "auto", "distributed_foreground_insert": 1}

_BY_KEY: Final = f"""
    SELECT record FROM {schema.EVENTS} FINAL
    WHERE org_id IN {{org_ids:Array(String)}} AND idempotency_key IN {{keys:Array(String)}}
        AND indexHint(hasAny({schema.VALUES}, {{keys:Array(String)}}))
    ORDER BY position DESC
"""  # noqa: S608

_Key = tuple[str, str]


class ClickHouseStorage:
    """Keeps events in ClickHouse.

    What is acknowledged has been written to the table by the server, and with ``durability="full"`` synchronised with
    its disk; in a cluster, by most replicas of a shard.

    An id is stored once, whoever sends it how often at the same time. Of an idempotency key that is true within one
    process, and of what was stored before; ClickHouse has no unique keys, so two hosts that get the same key at the
    same moment may both store their event.

    Args:
        target: which ClickHouse.
        durability: of the tables, when :meth:`migrate` makes them.
        timeout: seconds that a write may take.
    """

    def __init__(self, target: Target, *, durability: Durability = "full", timeout: float = TIMEOUT) -> None:
        if durability not in ("full", "relaxed"):
            raise ConfigurationError(f"durability is 'full' or 'relaxed', not {durability!r}")
        self._connections = Connections(target, timeout=timeout)
        self._durable = durability == "full"
        self._settings: dict[str, Any] = dict(_INSERT)
        if target.path is None:
            self._settings |= _ON_SERVER
        if target.cluster is not None:
            self._settings |= _IN_CLUSTER
        self.target = target
        self.reader = ClickHouseReader(self._connections, self._check)
        self.figures = ClickHouseFigures(self._connections, self._check)
        self.erasure = ClickHouseErasure(self._connections, self._check)

    def write(self, events: Sequence[Event]) -> Sequence[Event] | None:
        """See :meth:`Storage.write <tk_analytics_mw.storage.base.Storage.write>`."""
        if not events:
            return None
        rows = packed(events)  # a value that cannot be kept is the fault of its event, and nothing is sent
        self._check()
        keyed = any(event.idempotency_key is not None for event in events)
        with self._connections.writing() as client:
            if not keyed:
                self._insert(client, rows)
                return None
            # By its key an event may have been stored under another id: that takes a look.
            first = _held(client, events)
            answer: list[Event] = []
            new: list[Event] = []
            for event in events:
                key = _key(event)
                held = event if key is None else first.setdefault(key, event)
                answer.append(held)
                if held is event:
                    new.append(event)
            if new:
                self._insert(client, packed(new))
        return answer

    def pending(self) -> Sequence[str]:
        """See :meth:`MigratedStorage.pending <tk_analytics_mw.storage.migrations.MigratedStorage.pending>`."""
        return schema.pending(self._connections, durable=self._durable)

    def migrate(self) -> Sequence[str]:
        """See :meth:`MigratedStorage.migrate <tk_analytics_mw.storage.migrations.MigratedStorage.migrate>`."""
        return schema.migrate(self._connections, durable=self._durable)

    def organisations(self) -> list[str]:
        """See :class:`~tk_analytics_mw.storage.survey.SurveyedStorage`."""
        self._check()
        return organisations(self._connections)

    def survey(self) -> Survey:
        """See :class:`~tk_analytics_mw.storage.survey.SurveyedStorage`."""
        self._check()
        return survey(self._connections)

    def examine(self) -> Iterator[Finding]:
        """See :class:`~tk_analytics_mw.storage.examination.ExaminedStorage`."""
        return examine(self._connections, self.pending)

    def close(self) -> None:
        """See :meth:`Storage.close <tk_analytics_mw.storage.base.Storage.close>`."""
        self._connections.close()

    def _check(self) -> None:
        schema.check(self._connections, durable=self._durable)

    def _insert(self, client: Any, rows: bytes) -> None:
        client.raw_insert(schema.EVENTS, INSERTED, rows, fmt="RowBinary", settings=self._settings)


def _key(event: Event) -> _Key | None:
    return None if event.idempotency_key is None else (event.org_id, event.idempotency_key)


def _held(client: Any, events: Sequence[Event]) -> dict[_Key, Event]:
    """The events that are stored under the keys of these."""
    keys = {key for key in map(_key, events) if key is not None}
    sql, values = divided(
        _BY_KEY, {"org_ids": sorted({org for org, _ in keys}), "keys": sorted({key for _, key in keys})}
    )
    rows = client.query(sql, parameters=values).result_rows
    # The last one of the query is the first that was stored: should two hosts have stored one each, all get this one.
    events = [event_of_record(record) for (record,) in rows]
    return {key: event for event in events if (key := _key(event)) is not None}
