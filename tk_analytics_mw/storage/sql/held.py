"""What is held in the place of events that were to be written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, and_, or_, select

from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.sql.encoding import event_from
from tk_analytics_mw.storage.sql.schema import EVENT
from tk_analytics_mw.storage.sql.schema import events as table


def firsts(connection: Connection, events: Sequence[Event], stored: Iterable[str]) -> Sequence[Event] | None:
    """The events as they now stand.

    Args:
        connection: in, or after, the transaction that wrote them.
        events: that were to be written.
        stored: ids of those that were.
    """
    new, keyed = {*stored}, [event for event in events if event.idempotency_key is not None]
    missing = [event for event in keyed if event.id not in new]
    if not missing:
        return events if keyed else None
    keys = {(event.org_id, event.idempotency_key) for event in missing}
    where = or_(*(and_(table.c.org_id == org_id, table.c.idempotency_key == key) for org_id, key in sorted(keys)))
    first = select(*EVENT).where(where)
    if connection.dialect.name != "postgresql":
        first = first.with_for_update(read=True)  # as it is, and not as it was when the transaction began
    held = {(each.org_id, each.idempotency_key): each for each in map(event_from, connection.execute(first))}
    return [
        event if event.idempotency_key is None else held.get((event.org_id, event.idempotency_key), event)
        for event in events
    ]
