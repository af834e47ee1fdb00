"""Deliveries of durable hooks in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Final

from tk_analytics_mw.storage.memory.held import Enrolled, Held, Row
from tk_analytics_mw.storage.outbox import Counts, Delivery, DeliveryQuery, DeliveryRow, Outcome, Subscription

_SETTLED: Final = ("delivered", "dead", "discarded")
_WAITING: Final = ("pending", "retrying", "dead")


class MemoryOutbox:
    """See :class:`~tk_analytics_mw.storage.outbox.Outbox`."""

    def __init__(self, held: Held) -> None:
        self._held = held

    def enroll(self, subscription: Subscription, *, now: float) -> bool:  # noqa: ARG002 - nobody asks since when
        """See :meth:`Outbox.enroll <tk_analytics_mw.storage.outbox.Outbox.enroll>`."""
        with self._held.lock:
            if subscription.name not in self._held.subscriptions:
                self._held.subscriptions[subscription.name] = Enrolled()
                for position in self._held.events if subscription.since == "all" else ():
                    self._held.owe(subscription, position)
        return False

    def claim(self, name: str, *, owner: str, limit: int, now: float, until: float, ordered: bool) -> list[Delivery]:
        """See :meth:`Outbox.claim <tk_analytics_mw.storage.outbox.Outbox.claim>`."""
        with self._held.lock:
            if self._held.subscriptions.get(name, Enrolled()).off is not None:
                return []
            rows, lost = self._due(name, limit, now, ordered)
            for row in rows:
                row.state, row.owner, row.due_at = "running", owner, until
                row.attempts += lost
                if row.first_tried_at is None:
                    row.first_tried_at = now
            return [_delivery(row) for row in rows]

    def renew(self, owner: str, *, until: float) -> None:
        """See :meth:`Outbox.renew <tk_analytics_mw.storage.outbox.Outbox.renew>`."""
        with self._held.lock:
            for row in self._held_by(owner):
                row.due_at = until

    def settle(self, owner: str, outcomes: Sequence[Outcome], *, now: float) -> None:
        """See :meth:`Outbox.settle <tk_analytics_mw.storage.outbox.Outbox.settle>`."""
        with self._held.lock:
            held = {row.id: row for row in self._held_by(owner)}
            for outcome in outcomes:
                row = held.get(outcome.delivery.id)
                if row is None:
                    continue
                row.state, row.error, row.due_at, row.owner = outcome.state, outcome.error, outcome.due_at, None
                row.settled_at = None if outcome.state == "retrying" else now
                row.attempts += 1
                self._count(row)

    def release(self, owner: str) -> None:
        """See :meth:`Outbox.release <tk_analytics_mw.storage.outbox.Outbox.release>`."""
        with self._held.lock:
            for row in self._held_by(owner):
                row.owner = None
                row.state, row.due_at = ("retrying", 0.0) if row.attempts else ("pending", None)

    def switch(self, name: str, *, off: str | None) -> None:
        """See :meth:`Outbox.switch <tk_analytics_mw.storage.outbox.Outbox.switch>`."""
        with self._held.lock:
            if name in self._held.subscriptions:
                self._held.subscriptions[name].off = off

    def counts(self) -> Mapping[str, Counts]:
        """See :meth:`Outbox.counts <tk_analytics_mw.storage.outbox.Outbox.counts>`."""
        with self._held.lock:
            rows: defaultdict[str, list[Row]] = defaultdict(list)
            for _, row in sorted(self._held.deliveries.items()):
                if row.state not in ("delivered", "discarded"):
                    rows[row.name].append(row)
            found = {}
            for name in sorted({*rows, *self._held.subscriptions}):
                pending = [row for row in rows[name] if row.state != "dead"]
                enrolled = self._held.subscriptions.get(name, Enrolled())
                found[name] = Counts(
                    pending=len(pending),
                    failed=sum(row.attempts > 0 for row in pending),
                    delivered=enrolled.delivered,
                    discarded=enrolled.discarded,
                    dead=len(rows[name]) - len(pending),
                    oldest_event=pending[0].event.id if pending else None,
                    off=enrolled.off,
                )
            return found

    def find(self, query: DeliveryQuery, *, limit: int) -> list[DeliveryRow]:
        """See :meth:`Outbox.find <tk_analytics_mw.storage.outbox.Outbox.find>`."""
        with self._held.lock:
            return [_shown(row) for row in self._matching(query)[:limit]]

    def replay(self, query: DeliveryQuery) -> int:
        """See :meth:`Outbox.replay <tk_analytics_mw.storage.outbox.Outbox.replay>`."""
        with self._held.lock:
            rows = [row for row in self._matching(query) if row.state in _SETTLED]
            for row in rows:
                row.state, row.attempts, row.error = "pending", 0, None
                row.due_at = row.first_tried_at = row.settled_at = None
            return len(rows)

    def discard(self, query: DeliveryQuery, *, why: str, now: float) -> int:
        """See :meth:`Outbox.discard <tk_analytics_mw.storage.outbox.Outbox.discard>`."""
        with self._held.lock:
            rows = [row for row in self._matching(query) if row.state in _WAITING]
            for row in rows:
                row.state, row.due_at, row.settled_at, row.error = "discarded", None, now, why
                self._count(row)
            return len(rows)

    def forget(self, *, before: float, limit: int) -> int:
        """See :meth:`Outbox.forget <tk_analytics_mw.storage.outbox.Outbox.forget>`."""
        with self._held.lock:
            old = [
                place
                for place, row in self._held.deliveries.items()
                if row.state in ("delivered", "discarded") and row.settled_at is not None and row.settled_at < before
            ][:limit]
            for place in old:
                del self._held.deliveries[place]
            return len(old)

    def _due(self, name: str, limit: int, now: float, ordered: bool) -> tuple[list[Row], bool]:
        """The rows to take, and whether they were lost by another deliverer."""
        rows = [row for place, row in sorted(self._held.deliveries.items()) if place[0] == name]
        later = [row for row in rows if row.state in ("running", "retrying") and row.due_at is not None]
        due = [row for row in later if (row.due_at or 0.0) <= now]
        if ordered and len(due) < len(later):
            return [], False
        lost = [row for row in due if row.state == "running"]
        if lost:
            return lost[:1], True
        retries = sorted(due, key=lambda row: row.due_at or 0.0)[: 1 if ordered else max(limit // 2, 1)]
        if ordered and retries:
            return retries, False
        pending = [row for row in rows if row.state == "pending"]
        return [*retries, *pending[: limit - len(retries)]], False

    def _held_by(self, owner: str) -> list[Row]:
        return [row for row in self._held.deliveries.values() if row.state == "running" and row.owner == owner]

    def _matching(self, query: DeliveryQuery) -> list[Row]:
        rows = [row for _, row in sorted(self._held.deliveries.items(), key=lambda item: -item[0][1])]
        return [
            row
            for row in rows
            if query.id in (None, row.id)
            and query.name in (None, row.name)
            and query.event_id in (None, row.event.id)
            and (not query.states or row.state in query.states)
            and (query.before is None or row.event.id < query.before)
        ]

    def _count(self, row: Row) -> None:
        enrolled = self._held.subscriptions.get(row.name)
        if enrolled is not None:
            enrolled.delivered += row.state == "delivered"
            enrolled.discarded += row.state == "discarded"


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=row.id,
        name=row.name,
        event=row.event,
        attempt=row.attempts + 1,
        first_tried_at=datetime.fromtimestamp(row.first_tried_at or 0.0, timezone.utc),
    )


def _shown(row: Row) -> DeliveryRow:
    return DeliveryRow(
        id=row.id,
        name=row.name,
        event_id=row.event.id,
        state=row.state,
        attempts=row.attempts,
        due_at=row.due_at,
        first_tried_at=row.first_tried_at,
        settled_at=row.settled_at,
        error=row.error,
    )
