"""What is due, and taking it: rows that another deliverer has locked are passed over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, delete, exists, func, literal_column, or_, select, update

from tk_analytics_mw.storage.outbox import Delivery
from tk_analytics_mw.storage.outbox import delivery_id as id_of
from tk_analytics_mw.storage.sql.encoding import event_from
from tk_analytics_mw.storage.sql.schema import EVENT, deliveries, events, subscriptions

_D: Final = deliveries.c


def _is(*states: str) -> ColumnElement[bool]:
    """In words and not as parameters: so that PostgreSQL knows which of the partial indexes will do."""
    return _D.state.in_([literal_column(f"'{state}'") for state in states])


_PENDING: Final = (_is("pending"), _D.position.is_not(None))

_FAILED: Final[ColumnElement[bool]] = literal_column("attempts > 0")

COUNTS: Final = (
    select(_D.name, _D.state, _FAILED, func.count(), func.min(_D.position))
    .where(_is("pending", "dead"))
    .group_by(_D.name, _D.state, _FAILED)
    .union_all(
        select(_D.name, literal_column("'later'"), _FAILED, func.count(), func.min(_D.position))
        .where(_D.due_at.is_not(None), _is("running", "retrying"))
        .group_by(_D.name, _FAILED)
    )
)
"""Name, state, whether attempts failed, number, and the first position."""


def is_due(connection: Connection, name: str, now: float) -> tuple[bool, bool]:
    """Whether there is something to take, and whether there are events that have no position yet."""
    due = or_(
        exists().where(_D.name == name, *_PENDING),
        exists().where(_D.name == name, _is("running", "retrying"), _D.due_at <= now),
    )
    unplaced = exists().where(events.c.position.is_(None))
    found = connection.execute(select(due, unplaced)).one()
    return bool(found[0]), bool(found[1])


def take(
    connection: Connection, name: str, *, owner: str, limit: int, now: float, until: float, ordered: bool
) -> list[Delivery]:
    """See :meth:`Outbox.claim <tk_analytics_mw.storage.outbox.Outbox.claim>`."""
    switch = select(subscriptions.c.off).where(subscriptions.c.name == name)
    # Where the order counts one deliverer at a time may look.
    if connection.execute(switch.with_for_update() if ordered else switch).scalar() is not None:
        return []
    ids, lost = _due(connection, name, limit=limit, now=now, ordered=ordered)
    if not ids:
        return []
    connection.execute(
        update(deliveries)
        .where(_D.name == name, _D.event_id.in_(ids))
        .values(
            state="running",
            owner=owner,
            due_at=until,
            attempts=_D.attempts + int(lost),
            first_tried_at=func.coalesce(_D.first_tried_at, now),
        )
    )
    taken = (
        select(_D.attempts, _D.first_tried_at, *EVENT)
        .join(events, events.c.id == _D.event_id)
        .where(_D.name == name, _D.event_id.in_(ids))
    )
    found = {row[2]: row for row in connection.execute(taken)}
    gone = [id_ for id_ in ids if id_ not in found]  # deleted by hand
    if gone:
        connection.execute(delete(deliveries).where(_D.name == name, _D.event_id.in_(gone)))
    return [_delivery(name, found[id_]) for id_ in ids if id_ in found]


def _due(connection: Connection, name: str, *, limit: int, now: float, ordered: bool) -> tuple[list[str], bool]:
    """The events whose deliveries to take, and whether those were lost by another deliverer."""

    def some(number: int, order: ColumnElement[Any], *where: ColumnElement[bool]) -> list[str]:
        wanted: Select[tuple[str]] = select(_D.event_id).where(_D.name == name, *where).order_by(order).limit(number)
        return [*connection.execute(wanted.with_for_update(skip_locked=True)).scalars()]

    later = exists().where(_D.name == name, _is("running", "retrying"), _D.due_at > now)
    if ordered and connection.execute(select(later)).scalar():
        return [], False
    lost = some(1, _D.position, _is("running"), _D.due_at <= now)
    if lost:
        return lost, True
    retries = some(1 if ordered else max(limit // 2, 1), _D.due_at, _is("retrying"), _D.due_at <= now)
    if ordered and retries:
        return retries, False
    return [*retries, *some(limit - len(retries), _D.position, *_PENDING)], False


def _delivery(name: str, row: Sequence[Any]) -> Delivery:
    attempts, first_tried_at, *event_row = row
    event = event_from(event_row)
    return Delivery(
        id=id_of(name, event.id),
        name=name,
        event=event,
        attempt=attempts + 1,
        first_tried_at=datetime.fromtimestamp(first_tried_at, timezone.utc),
    )
