"""Deliveries that come to be with their events, and rows that are put in unless they are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Table, literal, select
from sqlalchemy.dialects import mysql, postgresql

from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.sql.schema import deliveries, events


def owe(connection: Connection, subscription: Subscription, *which: ColumnElement[bool]) -> None:
    """Note the deliveries of some events to a subscription, of those that it wants and has no delivery of yet."""
    wanted = select(literal(subscription.name), events.c.id, events.c.position, literal("pending"), literal(0)).where(
        *which
    )
    if subscription.event_types:
        wanted = wanted.where(events.c.event_type.in_(sorted(subscription.event_types)))
    names = ["name", "event_id", "position", "state", "attempts"]
    connection.execute(_unless_held(connection, deliveries, lambda insert: insert.from_select(names, wanted)))


def insert_unless_held(connection: Connection, table: Table, values: Mapping[str, Any]) -> Insert:
    """The statement that puts in a row, if there is none with its primary key."""
    return _unless_held(connection, table, lambda insert: insert.values(values))


def _unless_held(connection: Connection, table: Table, fill: Any) -> Insert:
    if connection.dialect.name == "postgresql":
        return fill(postgresql.insert(table)).on_conflict_do_nothing()  # type: ignore[no-any-return]
    # Of the two ways to pass over what is held this one turns no other error into a warning.
    return fill(mysql.insert(table)).on_duplicate_key_update(name=table.c.name)  # type: ignore[no-any-return]
