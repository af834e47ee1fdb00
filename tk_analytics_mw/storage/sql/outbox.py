"""Deliveries of durable hooks in an SQL database: the tables ``tk_analytics_deliveries`` and ``…_subscriptions``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from tk_analytics_mw.storage.outbox import Counts, Delivery, DeliveryQuery, DeliveryRow, Outcome, Subscription
from tk_analytics_mw.storage.outbox import delivery_id as id_of
from tk_analytics_mw.storage.sql import claims
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.owing import insert_unless_held, owe
from tk_analytics_mw.storage.sql.places import place
from tk_analytics_mw.storage.sql.schema import deliveries as table
from tk_analytics_mw.storage.sql.schema import events, positions, subscriptions

SLICE: Final = 1_000
"""Events of the past that are filled in within one transaction."""

_SHOWN: Final = ("name", "event_id", "state", "attempts", "due_at", "first_tried_at", "settled_at", "error")


class SqlOutbox:
    """See :class:`~tk_analytics_mw.storage.outbox.Outbox`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def enroll(self, subscription: Subscription, *, now: float) -> bool:
        """See :meth:`Outbox.enroll <tk_analytics_mw.storage.outbox.Outbox.enroll>`."""
        name = subscription.name
        after = select(subscriptions.c.backfill_after).where(subscriptions.c.name == name)
        found = self._connections.at_once(lambda connection: connection.execute(after).first())
        if found is not None and found[0] is None:
            return False
        if found is None and subscription.since == "all":
            place(self._connections)
        with self._connections.writing() as connection:
            until = connection.execute(select(positions.c.last)).scalar_one() if subscription.since == "all" else None
            values = {"name": name, "enrolled_at": now, "delivered": 0, "discarded": 0}
            past = {"backfill_after": None if until is None else 0, "backfill_until": until}
            connection.execute(insert_unless_held(connection, subscriptions, {**values, **past}))
            begin, end = connection.execute(
                select(subscriptions.c.backfill_after, subscriptions.c.backfill_until)
                .where(subscriptions.c.name == name)
                .with_for_update()
            ).one()
            if begin is None:
                return False
            last = min(begin + SLICE, end)
            owe(connection, subscription, events.c.position > begin, events.c.position <= last)
            done = bool(last >= end)
            connection.execute(
                update(subscriptions).where(subscriptions.c.name == name).values(backfill_after=None if done else last)
            )
            return not done

    def claim(self, name: str, *, owner: str, limit: int, now: float, until: float, ordered: bool) -> list[Delivery]:
        """See :meth:`Outbox.claim <tk_analytics_mw.storage.outbox.Outbox.claim>`."""
        # Nearly always nothing, asked in one round trip.
        due, unplaced = self._connections.at_once(lambda connection: claims.is_due(connection, name, now))
        if unplaced:
            place(self._connections)
        elif not due:
            return []
        with self._connections.writing() as connection:
            return claims.take(connection, name, owner=owner, limit=limit, now=now, until=until, ordered=ordered)

    def renew(self, owner: str, *, until: float) -> None:
        """See :meth:`Outbox.renew <tk_analytics_mw.storage.outbox.Outbox.renew>`."""
        with self._connections.writing() as connection:
            connection.execute(
                update(table).where(table.c.owner == owner, table.c.state == "running").values(due_at=until)
            )

    def settle(self, owner: str, outcomes: Sequence[Outcome], *, now: float) -> None:
        """See :meth:`Outbox.settle <tk_analytics_mw.storage.outbox.Outbox.settle>`."""
        alike: defaultdict[tuple[str, str, str | None, float | None], list[str]] = defaultdict(list)
        for each in outcomes:  # nearly always all of them: one statement for a batch
            alike[each.delivery.name, each.state, each.error, each.due_at].append(each.delivery.event.id)
        with self._connections.writing() as connection:
            for (name, state, error, due_at), ids in alike.items():
                done = connection.execute(
                    update(table)
                    .where(
                        table.c.name == name,
                        table.c.event_id.in_(ids),
                        table.c.owner == owner,
                        table.c.state == "running",
                    )
                    .values(
                        state=state,
                        error=error,
                        due_at=due_at,
                        settled_at=None if state == "retrying" else now,
                        attempts=table.c.attempts + 1,
                        owner=None,
                    )
                )
                _count(connection, name, state, done.rowcount)

    def release(self, owner: str) -> None:
        """See :meth:`Outbox.release <tk_analytics_mw.storage.outbox.Outbox.release>`."""
        with self._connections.writing() as connection:
            for tried, values in (
                (table.c.attempts == 0, {"state": "pending", "due_at": None}),
                (table.c.attempts > 0, {"state": "retrying", "due_at": 0.0}),
            ):
                connection.execute(
                    update(table)
                    .where(table.c.owner == owner, table.c.state == "running", tried)
                    .values(owner=None, **values)
                )

    def switch(self, name: str, *, off: str | None) -> None:
        """See :meth:`Outbox.switch <tk_analytics_mw.storage.outbox.Outbox.switch>`."""
        with self._connections.writing() as connection:
            connection.execute(update(subscriptions).where(subscriptions.c.name == name).values(off=off))

    def counts(self) -> Mapping[str, Counts]:
        """See :meth:`Outbox.counts <tk_analytics_mw.storage.outbox.Outbox.counts>`."""
        found: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        oldest: dict[str, int] = {}
        with self._connections.reading() as connection:
            known = select(
                subscriptions.c.name, subscriptions.c.delivered, subscriptions.c.discarded, subscriptions.c.off
            )
            for name, delivered, discarded, off in connection.execute(known):
                found[name] = {"delivered": delivered, "discarded": discarded, "off": off}
            for name, state, failed, number, first in connection.execute(claims.COUNTS):
                counts = found[name]
                if state == "dead":
                    counts["dead"] = number
                    continue
                counts["pending"] = counts.get("pending", 0) + number
                counts["failed"] = counts.get("failed", 0) + (number if failed else 0)
                if first is not None:
                    oldest[name] = min(oldest.get(name, first), first)
            for name, position in oldest.items():
                found[name]["oldest_event"] = connection.execute(
                    select(events.c.id).where(events.c.position == position)
                ).scalar()
        return {name: Counts(**counts) for name, counts in sorted(found.items())}

    def find(self, query: DeliveryQuery, *, limit: int) -> list[DeliveryRow]:
        """See :meth:`Outbox.find <tk_analytics_mw.storage.outbox.Outbox.find>`."""
        wanted = select(*(table.c[name] for name in _SHOWN)).where(*_conditions(query))
        with self._connections.reading() as connection:
            rows = connection.execute(wanted.order_by(table.c.position.desc(), table.c.event_id.desc()).limit(limit))
            return [DeliveryRow(id_of(row[0], row[1]), *row) for row in rows]

    def replay(self, query: DeliveryQuery) -> int:
        """See :meth:`Outbox.replay <tk_analytics_mw.storage.outbox.Outbox.replay>`."""
        settled = table.c.state.in_(("delivered", "dead", "discarded"))
        anew = dict.fromkeys(("due_at", "first_tried_at", "settled_at", "error"))
        with self._connections.writing() as connection:
            return connection.execute(
                update(table).where(*_conditions(query), settled).values(state="pending", attempts=0, **anew)
            ).rowcount

    def discard(self, query: DeliveryQuery, *, why: str, now: float) -> int:
        """See :meth:`Outbox.discard <tk_analytics_mw.storage.outbox.Outbox.discard>`."""
        wanted = (*_conditions(query), table.c.state.in_(("pending", "retrying", "dead")))
        with self._connections.writing() as connection:
            found = connection.execute(select(table.c.name, table.c.event_id).where(*wanted).with_for_update()).all()
            for name, ids in _by_name(found).items():
                connection.execute(
                    update(table)
                    .where(table.c.name == name, table.c.event_id.in_(ids))
                    .values(state="discarded", due_at=None, settled_at=now, error=why)
                )
                _count(connection, name, "discarded", len(ids))
            return len(found)

    def forget(self, *, before: float, limit: int) -> int:
        """See :meth:`Outbox.forget <tk_analytics_mw.storage.outbox.Outbox.forget>`."""
        old = table.c.settled_at < before, table.c.state.in_(("delivered", "discarded"))
        with self._connections.writing() as connection:
            found = connection.execute(
                select(table.c.name, table.c.event_id).where(*old).limit(limit).with_for_update(skip_locked=True)
            ).all()
            for name, ids in _by_name(found).items():
                connection.execute(delete(table).where(table.c.name == name, table.c.event_id.in_(ids)))
            return len(found)


def _by_name(rows: Sequence[Any]) -> Mapping[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, event_id in rows:
        found[name].append(event_id)
    return found


def _count(connection: Connection, name: str, state: str, number: int) -> None:
    if number and state in ("delivered", "discarded"):  # the names of columns, too
        column = subscriptions.c[state]
        connection.execute(update(subscriptions).where(subscriptions.c.name == name).values({column: column + number}))


def _conditions(query: DeliveryQuery) -> list[Any]:
    name, event_id = query.name, query.event_id
    found: list[Any] = []
    if query.id is not None:
        name, _, event_id = query.id.rpartition(":")
    if name is not None:
        found.append(table.c.name == name)
    if event_id is not None:
        found.append(table.c.event_id == event_id)
    if query.before is not None:
        found.append(table.c.event_id < query.before)
    if query.states:
        found.append(table.c.state.in_(query.states))
    return found
