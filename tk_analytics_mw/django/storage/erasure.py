"""Erasing events, with their deliveries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from tk_analytics_mw.django.storage import positions
from tk_analytics_mw.django.storage.connections import Connections
from tk_analytics_mw.django.storage.engines import engine_of
from tk_analytics_mw.django.storage.models import Delivery, Event
from tk_analytics_mw.django.storage.threads import off_the_loop
from tk_analytics_mw.identifiers import first_event_id
from tk_analytics_mw.storage.erasure import SLICE, Erased, Progress, Subject

_VALUES: Final = 500  # in one statement; SQLite before 3.32 allows 999


class DjangoErasure:
    """See :class:`~tk_analytics_mw.storage.erasure.Erasure`.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def organisations(self, subject: Subject) -> list[str]:
        """See :meth:`Erasure.organisations <tk_analytics_mw.storage.erasure.Erasure.organisations>`."""
        with self._connections.reading() as using:
            return sorted({*_of(using, subject).values_list("org_id", flat=True).distinct()})

    def erase(self, subject: Subject) -> Iterator[Progress]:
        """See :meth:`Erasure.erase <tk_analytics_mw.storage.erasure.Erasure.erase>`."""
        with self._connections.reading() as using:
            last = positions.last(using)
            total = _of(using, subject).filter(position__lte=last).count()
        done = 0
        while True:
            with self._connections.writing() as using:
                erased = _delete(using, _of(using, subject).filter(position__lte=last)[:SLICE])
            done += erased.events
            yield Progress(erased, done, max(total, done))
            if erased.events < SLICE:
                return

    def count(self, before: datetime) -> int:
        """See :meth:`Erasure.count <tk_analytics_mw.storage.erasure.Erasure.count>`."""
        with self._connections.reading() as using:
            return int(_older(using, before).count())

    @off_the_loop
    def purge(self, before: datetime, limit: int = SLICE) -> Erased:
        """See :meth:`Erasure.purge <tk_analytics_mw.storage.erasure.Erasure.purge>`.

        The order of ids is that of time.
        """
        with self._connections.reading() as using:  # nearly always none: nobody is to wait for that
            if not _older(using, before).exists():
                return Erased()
        with self._connections.writing() as using:
            return _delete(using, _older(using, before).order_by("pk")[:limit])

    def finish(self) -> bool:
        """See :meth:`Erasure.finish <tk_analytics_mw.storage.erasure.Erasure.finish>`.

        What a server's own log and its backups have is its operator's affair.
        """
        with self._connections.outside() as connection:
            return connection.in_atomic_block or engine_of(connection).forget_deleted(connection)


def _of(using: str, subject: Subject) -> QuerySet[Event]:
    given = {"user_id": subject.user_id, "session_id": subject.session_id, "org_id": subject.org_id}
    return Event.objects.using(using).filter(**{name: value for name, value in given.items() if value is not None})


def _older(using: str, before: datetime) -> QuerySet[Event]:
    return Event.objects.using(using).filter(pk__lt=UUID(first_event_id(before)))


def _delete(using: str, found: Any) -> Erased:
    """Delete these events, and everything that belongs to them, within the transaction."""
    ids: Sequence[UUID] = [*found.values_list("pk", flat=True)]
    erased = Erased()
    for first in range(0, len(ids), _VALUES):
        some = ids[first : first + _VALUES]
        deliveries = Delivery.objects.using(using).filter(event_id__in=some).delete()[0]
        Event.objects.using(using).filter(pk__in=some).only("pk").delete()
        erased += Erased(len(some), deliveries)
    return erased
