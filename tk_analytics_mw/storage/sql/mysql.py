"""How events are stored in MariaDB and MySQL: a transaction of four statements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone
from typing import Any, Final

from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.rows import COLUMNS, row_of
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.encoding import portions
from tk_analytics_mw.storage.sql.faults import mysql_number
from tk_analytics_mw.storage.sql.held import firsts
from tk_analytics_mw.storage.sql.owing import owe
from tk_analytics_mw.storage.sql.schema import deliveries
from tk_analytics_mw.storage.sql.schema import events as table

_NAMES: Final = ", ".join(COLUMNS)
_INSERT: Final = f"INSERT INTO tk_analytics_events (position, {_NAMES})"
_ROW: Final = f"(%s, {', '.join(['%s'] * len(COLUMNS))})"
DUPLICATE: Final = 1062
"""The error of a row whose id or idempotency key is held."""

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
        _insert(connection, [[after + number, *row] for number, row in enumerate(rows, start=1)], wait=not keyed)
        for subscription in due:
            owe(connection, subscription, table.c.position > after, table.c.position <= until)
        if not keyed:
            return None
        stored = select(table.c.id).where(table.c.position > after, table.c.position <= until)
        return firsts(connection, events, connection.execute(stored).scalars())


def store_within(connection: Connection, events: Sequence[Event], due: Sequence[Subscription]) -> list[str]:
    """Store events without positions in the transaction that is open. Give the ids of those that are new."""
    # What a host's transaction reads in order to write, and keys that it is told to pass over, have the gaps beside it
    # locked until its end: so both tables get plain rows, and nothing else.
    new = []
    for event in events:
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"{_INSERT} VALUES {_ROW}", (None, *_row(event)))
        except IntegrityError as error:
            if mysql_number(error) != DUPLICATE:
                raise
        else:
            new.append(event)
    owed = [
        {"name": each.name, "event_id": event.id, "state": "pending", "attempts": 0}
        for each in due
        for event in new
        if not each.event_types or event.event_type in each.event_types
    ]
    if owed:
        connection.execute(insert(deliveries), owed)
    return [event.id for event in new]


def _insert(connection: Connection, rows: Sequence[Sequence[Any]], *, wait: bool = True) -> None:
    # For a host's open transaction that holds the same idempotency key we do not wait: others wait behind us. (MySQL
    # cannot do that for one statement; there it is the usual time.)
    is_mariadb = getattr(connection.dialect, "is_mariadb", False)
    prefix = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR " if is_mariadb and not wait else ""
    for part in portions([sum(len(value) for value in row if isinstance(value, str)) for row in rows]):
        some = rows[part]
        connection.exec_driver_sql(
            f"{prefix}{_INSERT} VALUES {', '.join([_ROW] * len(some))} {_UNLESS_HELD}",
            tuple(value for row in some for value in row),
        )


def _row(event: Event) -> list[Any]:
    row = row_of(event)
    row[_CREATED_AT] = event.created_at.astimezone(timezone.utc).replace(tzinfo=None)
    return row
