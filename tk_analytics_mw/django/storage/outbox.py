"""Deliveries of durable hooks: the tables ``tk_analytics_delivery`` and ``tk_analytics_subscription``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from django.db import connections as django_connections
from django.db.models import Case, Count, F, FloatField, Min, Q, QuerySet, Value, When

from tk_analytics_mw.django.storage import positions
from tk_analytics_mw.django.storage.connections import Connections
from tk_analytics_mw.django.storage.models import Delivery as Row
from tk_analytics_mw.django.storage.models import Event
from tk_analytics_mw.django.storage.models import Subscription as Enrolled
from tk_analytics_mw.django.storage.records import events_of, id_of
from tk_analytics_mw.storage.outbox import Counts, Delivery, DeliveryQuery, DeliveryRow, Outcome, Subscription
from tk_analytics_mw.storage.outbox import delivery_id as id_of_delivery

SLICE: Final = 1_000
"""Events of the past that are filled in within one transaction."""


def deliveries_of(event: tuple[Any, int | None, str], due: Sequence[Subscription]) -> Iterator[Row]:
    """The deliveries of an event.

    Args:
        event: its id, its position and its type.
        due: the subscriptions.
    """
    id_, position, event_type = event
    for each in due:
        if not each.event_types or event_type in each.event_types:
            yield Row(event_id=id_, name=each.name, position=position)


class DjangoOutbox:
    """See :class:`~tk_analytics_mw.storage.outbox.Outbox`.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def enroll(self, subscription: Subscription, *, now: float) -> bool:
        """See :meth:`Outbox.enroll <tk_analytics_mw.storage.outbox.Outbox.enroll>`."""
        with self._connections.reading() as using:
            found = Enrolled.objects.using(using).filter(pk=subscription.name).values_list("backfill_after").first()
            last = positions.last(using)
        if found == (None,):
            return False
        with self._connections.writing() as using:
            rows = Enrolled.objects.using(using)
            past = {"backfill_after": 0, "backfill_until": last} if subscription.since == "all" else {}
            rows.bulk_create([Enrolled(name=subscription.name, enrolled_at=now, **past)], ignore_conflicts=True)
            row = rows.select_for_update().get(pk=subscription.name)
            if row.backfill_after is None:
                return False
            end = min(row.backfill_after + SLICE, row.backfill_until)
            events = Event.objects.using(using).filter(position__gt=row.backfill_after, position__lte=end)
            owed = [
                delivery
                for event in events.values_list("pk", "position", "event_type")
                for delivery in deliveries_of(event, [subscription])
            ]
            Row.objects.using(using).bulk_create(owed, ignore_conflicts=True)
            row.backfill_after = None if end >= row.backfill_until else end
            row.save(update_fields=["backfill_after"])
            return row.backfill_after is not None

    def claim(self, name: str, *, owner: str, limit: int, now: float, until: float, ordered: bool) -> list[Delivery]:
        """See :meth:`Outbox.claim <tk_analytics_mw.storage.outbox.Outbox.claim>`."""
        with self._connections.reading() as using:  # nearly always nothing: nobody is to wait for that
            if not _due(using, name, now).exists():
                return []
        with self._connections.writing() as using:
            subscription = Enrolled.objects.using(using).filter(pk=name)
            if ordered:
                subscription = subscription.select_for_update()  # one who claims at a time
            if any(row.off is not None for row in subscription):
                return []
            rows, lost = _to_take(using, name, limit=limit, now=now, ordered=ordered)
            events = {
                event.id: event
                for event in events_of(Event.objects.using(using).filter(pk__in=[row.event_id for row in rows]))
            }
            taken = []
            for row in rows:
                event = events.get(str(row.event_id))
                if event is None:  # deleted by hand
                    row.delete(using=using)
                    continue
                first_tried_at = now if row.first_tried_at is None else row.first_tried_at
                taken.append(
                    Delivery(
                        id=id_of_delivery(name, event.id),
                        name=name,
                        event=event,
                        attempt=row.attempts + lost + 1,
                        first_tried_at=datetime.fromtimestamp(first_tried_at, timezone.utc),
                    )
                )
            Row.objects.using(using).filter(pk__in=[row.pk for row in rows]).update(
                state="running",
                owner=owner,
                ready_at=until,
                attempts=F("attempts") + int(lost),
                first_tried_at=_or(F("first_tried_at"), now),
            )
            return taken

    def renew(self, owner: str, *, until: float) -> None:
        """See :meth:`Outbox.renew <tk_analytics_mw.storage.outbox.Outbox.renew>`."""
        with self._connections.writing() as using:
            _held_by(using, owner).update(ready_at=until)

    def settle(self, owner: str, outcomes: Sequence[Outcome], *, now: float) -> None:
        """See :meth:`Outbox.settle <tk_analytics_mw.storage.outbox.Outbox.settle>`."""
        alike: dict[tuple[Any, ...], list[str]] = {}  # nearly always all of them: one statement for a batch
        for each in outcomes:
            what = each.state, each.error, each.due_at, each.delivery.name
            alike.setdefault(what, []).append(each.delivery.event.id)
        with self._connections.writing() as using:
            for (state, error, due_at, name), ids in alike.items():
                changed = (
                    _held_by(using, owner)
                    .filter(name=name, event_id__in=ids)
                    .update(
                        state=state,
                        error=error,
                        ready_at=due_at if state == "retrying" else Row.DEAD if state == "dead" else None,
                        settled_at=None if state == "retrying" else now,
                        attempts=F("attempts") + 1,
                        owner=None,
                    )
                )
                _count(using, name, state, changed)

    def release(self, owner: str) -> None:
        """See :meth:`Outbox.release <tk_analytics_mw.storage.outbox.Outbox.release>`."""
        with self._connections.writing() as using:
            held = _held_by(using, owner)
            # Due since long ago, if it has failed before; 0 is for those that nobody has tried.
            held.filter(attempts__gt=0).update(owner=None, state="retrying", ready_at=1.0)
            held.filter(attempts=0).update(owner=None, state="pending", ready_at=0.0)

    def switch(self, name: str, *, off: str | None) -> None:
        """See :meth:`Outbox.switch <tk_analytics_mw.storage.outbox.Outbox.switch>`."""
        with self._connections.writing() as using:
            Enrolled.objects.using(using).filter(pk=name).update(off=off)

    def counts(self) -> Mapping[str, Counts]:
        """See :meth:`Outbox.counts <tk_analytics_mw.storage.outbox.Outbox.counts>`."""
        found: dict[str, dict[str, Any]] = {}
        waits = Q(ready_at__gte=0)
        with self._connections.reading() as using:
            for row in Enrolled.objects.using(using):
                found[row.name] = {"delivered": row.delivered, "discarded": row.discarded, "off": row.off}
            for row in (
                Row.objects.using(using)
                .filter(ready_at__isnull=False)
                .values("name")
                .annotate(
                    pending=Count("pk", filter=waits),
                    failed=Count("pk", filter=waits & Q(attempts__gt=0)),
                    dead=Count("pk", filter=Q(ready_at=Row.DEAD)),
                    oldest=Min("position", filter=waits),
                )
            ):
                name, oldest = row.pop("name"), row.pop("oldest")
                if oldest is not None:
                    row["oldest_event"] = str(Event.objects.using(using).get(position=oldest).pk)
                found.setdefault(name, {}).update(row)
        return {name: Counts(**counts) for name, counts in sorted(found.items())}

    def find(self, query: DeliveryQuery, *, limit: int) -> list[DeliveryRow]:
        """See :meth:`Outbox.find <tk_analytics_mw.storage.outbox.Outbox.find>`."""
        with self._connections.reading() as using:
            return [_shown(row) for row in _matching(using, query).order_by("-position")[:limit]]

    def replay(self, query: DeliveryQuery) -> int:
        """See :meth:`Outbox.replay <tk_analytics_mw.storage.outbox.Outbox.replay>`."""
        with self._connections.writing() as using:
            settled = _matching(using, query).filter(state__in=["delivered", "dead", "discarded"])
            number: int = settled.update(
                state="pending", attempts=0, ready_at=0.0, first_tried_at=None, settled_at=None, error=None
            )
            return number

    def discard(self, query: DeliveryQuery, *, why: str, now: float) -> int:
        """See :meth:`Outbox.discard <tk_analytics_mw.storage.outbox.Outbox.discard>`."""
        with self._connections.writing() as using:
            waiting = _matching(using, query).filter(state__in=["pending", "retrying", "dead"])
            changed = 0
            for name in [*waiting.order_by().values_list("name", flat=True).distinct()]:
                number = waiting.filter(name=name).update(state="discarded", ready_at=None, settled_at=now, error=why)
                _count(using, name, "discarded", number)
                changed += number
            return changed

    def forget(self, *, before: float, limit: int) -> int:
        """See :meth:`Outbox.forget <tk_analytics_mw.storage.outbox.Outbox.forget>`."""
        with self._connections.writing() as using:
            settled = Row.objects.using(using).filter(settled_at__lt=before, state__in=["delivered", "discarded"])
            ids = [*settled.values_list("pk", flat=True)[:limit]]
            return int(Row.objects.using(using).filter(pk__in=ids).delete()[0])


def _to_take(using: str, name: str, *, limit: int, now: float, ordered: bool) -> tuple[list[Row], bool]:
    """The rows to take, and whether they were lost by another deliverer."""
    # Where the database can, what somebody else is just taking is passed over.
    features = django_connections[using].features
    rows = Row.objects.using(using).filter(name=name)
    free = rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked and not ordered)
    if ordered and rows.filter(ready_at__gt=now).exists():
        return [], False
    late = free.filter(ready_at__gt=0, ready_at__lte=now, position__isnull=False)
    lost = [*late.filter(state="running").order_by("position")[:1]]
    if lost:
        return lost, True
    retries = [*late.filter(state="retrying").order_by("ready_at")[: 1 if ordered else max(limit // 2, 1)]]
    if ordered and retries:
        return retries, False
    pending = free.filter(ready_at=0, position__isnull=False).order_by("position")
    return [*retries, *pending[: max(limit - len(retries), 0)]], False


def _due(using: str, name: str, now: float) -> QuerySet[Row]:
    return Row.objects.using(using).filter(name=name, ready_at__gte=0, ready_at__lte=now)


def _held_by(using: str, owner: str) -> QuerySet[Row]:
    return Row.objects.using(using).filter(owner=owner, state="running")


def _or(value: F, otherwise: float) -> Case:
    return Case(When(first_tried_at__isnull=True, then=Value(otherwise)), default=value, output_field=FloatField())


def _count(using: str, name: str, state: str, number: int) -> None:
    if state in ("delivered", "discarded"):  # the names of fields, too
        Enrolled.objects.using(using).filter(pk=name).update(**{state: F(state) + number})


def _matching(using: str, query: DeliveryQuery) -> QuerySet[Row]:
    found = Row.objects.using(using)
    name, event_id = query.name, query.event_id
    if query.id is not None:
        name, _, event_id = query.id.rpartition(":")
    for condition, text in (("event_id", event_id), ("event_id__lt", query.before)):
        if text is not None:
            id_ = id_of(text)
            found = found.none() if id_ is None else found.filter(**{condition: id_})
    if name is not None:
        found = found.filter(name=name)
    return found.filter(state__in=query.states) if query.states else found


def _shown(row: Row) -> DeliveryRow:
    return DeliveryRow(
        id_of_delivery(row.name, str(row.event_id)),
        row.name,
        str(row.event_id),
        row.state,
        row.attempts,
        row.ready_at if row.state in ("running", "retrying") else None,
        row.first_tried_at,
        row.settled_at,
        row.error,
    )
