"""How events are stored in MariaDB and MySQL: a transaction of four statements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone
from typing import Any, Final

from sqlalchemy import Connection, select, text

from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.rows import COLUMNS, row_of
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.encoding import portions
from tk_analytics_mw.storage.sql.held import firsts
from tk_analytics_mw.storage.sql.owing import owe
from tk_analytics_mw.storage.sql.schema import events as table

_NAMES: Final = ", ".join(COLUMNS)
_ROW: Final = f"(%s, {', '.join(['%s'] * len(COLUMNS))})"
_CREATED_AT: Final = COLUMNS.index("created_at")
# Of the two ways to pass over what is held this one turns no other error into a warning.
_UNLESS_HELD: Final = "ON DUPLICATE KEY UPDATE id = tk_analytics_events.id"
_COUNT: Final = text("UPDATE tk_analytics_positions SET last = LAST_INSERT_ID(last + :number) WHERE id = 1")


def store(connections: Connections, events: Sequence[Event], due: Sequence[Subscription]) -> Sequence[Event] | None:
    """Store events with their positions, in a transaction of our own."""
    rows = [_row(event) for event in events]
    keyed = any(event.idempotency_key is not None for event in events)
    with connections.writing() as connection:
        until = connection.execute(_COUNT, {"number": len(rows)}).lastrowid
        after = until - len(rows)
        _insert(connection, [[after + number, *row] for number, row in enumerate(rows, start=1)])
        for subscription in due:
            owe(connection, subscription, table.c.position > after, table.c.position <= until)
        if not keyed:
            return None
        stored = select(table.c.id).where(table.c.position > after, table.c.position <= until)
        return firsts(connection, events, connection.execute(stored).scalars())


def store_within(connection: Connection, events: Sequence[Event], due: Sequence[Subscription]) -> list[str]:
    """Store events without positions in the transaction that is open. Give the ids of those that are new."""
    ids = [event.id for event in events]
    before = {*connection.execute(select(table.c.id).where(table.c.id.in_(ids))).scalars()}
    _insert(connection, [[None, *_row(event)] for event in events])
    other = [id_ for id_ in ids if id_ not in before]
    new = [*connection.execute(select(table.c.id).where(table.c.id.in_(other))).scalars()]
    for subscription in due:
        owe(connection, subscription, table.c.id.in_(new))
    return new


def _insert(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
    for part in portions([sum(len(value) for value in row if isinstance(value, str)) for row in rows]):
        some = rows[part]
        connection.exec_driver_sql(
            f"INSERT INTO tk_analytics_events (position, {_NAMES}) "  # noqa: S608 - names of columns
            f"VALUES {', '.join([_ROW] * len(some))} {_UNLESS_HELD}",
            tuple(value for row in some for value in row),
        )


def _row(event: Event) -> list[Any]:
    row = row_of(event)
    row[_CREATED_AT] = event.created_at.astimezone(timezone.utc).replace(tzinfo=None)
    return row
