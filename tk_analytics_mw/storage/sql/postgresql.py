"""How events are stored in PostgreSQL: a batch is one statement, and so one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.rows import COLUMNS
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.encoding import as_object, due_as_json, portions
from tk_analytics_mw.storage.sql.held import firsts

KEY_PATIENCE: Final = 50
"""Milliseconds to wait for a host's open transaction that holds the same idempotency key: others wait behind us."""

_TYPES: Final = {
    "id": "uuid",
    "created_at": "timestamptz",
    "event_metadata": "jsonb",
    "configuration": "jsonb",
    "metric": "double precision",
}
_NAMES: Final = ", ".join(COLUMNS)
_GIVEN: Final = f"""
    given AS (
        SELECT * FROM ROWS FROM (
            json_to_recordset(CAST(:events AS json)) AS ({", ".join(f"{c} {_TYPES.get(c, 'text')}" for c in COLUMNS)})
        ) WITH ORDINALITY
    )
"""  # noqa: S608 - names of columns, here and below
# Settings of this transaction, in the one statement that it consists of: before the lock that all writers wait for, and
# once we have it.
_COUNTED: Final = """
    counter AS (
        UPDATE tk_analytics_positions SET last = last + :number
        WHERE id = 1 AND {synchronous} <> '' AND set_config('lock_timeout', :patience, true) <> ''
        RETURNING last - :number AS before, set_config('lock_timeout', :key_patience, true)
    )
"""
_STORED: Final = f"""
    stored AS (
        INSERT INTO tk_analytics_events (position, {_NAMES})
        SELECT {{position}}, {_NAMES} FROM {{sources}} ORDER BY ordinality
        ON CONFLICT DO NOTHING
        RETURNING id, position, event_type
    )
"""  # noqa: S608
_OWED: Final = """
    owed AS (
        INSERT INTO tk_analytics_deliveries (name, event_id, position, state, attempts)
        SELECT due.name, stored.id, stored.position, 'pending', 0
        FROM stored, json_to_recordset(CAST(:due AS json)) AS due (name text, types text[])
        WHERE due.types IS NULL OR stored.event_type = ANY (due.types)
        ON CONFLICT DO NOTHING
    )
"""


@cache
def _statement(synchronous: str | None, *, due: bool) -> TextClause:
    """The statement that stores events.

    Args:
        synchronous: how this transaction commits; ``None`` in one of the host's, where events get no position.
        due: whether there are subscriptions.
    """
    parts = [_GIVEN]
    if synchronous is not None:
        parts.append(_COUNTED.format(synchronous=synchronous))
        parts.append(_STORED.format(position="counter.before + ordinality", sources="given, counter"))
    else:
        parts.append(_STORED.format(position="CAST(NULL AS bigint)", sources="given"))
    if due:
        parts.append(_OWED)
    return text(f"WITH {','.join(parts)} SELECT CAST(id AS text) FROM stored")  # noqa: S608


def store(connections: Connections, events: Sequence[Event], due: Sequence[Subscription]) -> Sequence[Event] | None:
    """Store events with their positions, in a transaction of our own."""
    encoded = [as_object(event) for event in events]
    parts = [*portions([*map(len, encoded)])]

    def put(connection: Connection) -> Sequence[Event] | None:
        stored: list[str] = []
        for part in parts:
            stored += _put(connection, encoded[part], due, connections.synchronous, connections.commit_timeout)
        return firsts(connection, events, stored)

    if len(parts) == 1:
        return connections.at_once(put)
    with connections.writing() as connection:
        return put(connection)


def store_within(connection: Connection, events: Sequence[Event], due: Sequence[Subscription]) -> list[str]:
    """Store events without positions in the transaction that is open. Give the ids of those that are new."""
    encoded = [as_object(event) for event in events]
    return [each for part in portions([*map(len, encoded)]) for each in _put(connection, encoded[part], due, None, 0.0)]


def _put(
    connection: Connection,
    encoded: Sequence[str],
    due: Sequence[Subscription],
    synchronous: str | None,
    patience: float,
) -> Sequence[str]:
    statement = _statement(synchronous, due=bool(due))
    values: dict[str, Any] = {"events": f"[{','.join(encoded)}]"}
    if synchronous is not None:
        values["number"] = len(encoded)
        values["patience"] = f"{round(1000 * patience)}ms"
        values["key_patience"] = f"{KEY_PATIENCE}ms"
    if due:
        values["due"] = due_as_json(due)
    return connection.execute(statement, values).scalars().all()
