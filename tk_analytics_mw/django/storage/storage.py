"""The storage in a database of the Django project."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from django.core.management import call_command
from django.db import connections
from django.db import transaction as transactions

from tk_analytics_mw import events as kinds
from tk_analytics_mw.django.storage import LABEL, migrating, positions
from tk_analytics_mw.django.storage.connections import Connections
from tk_analytics_mw.django.storage.erasure import DjangoErasure
from tk_analytics_mw.django.storage.examination import examine
from tk_analytics_mw.django.storage.figures import DjangoFigures
from tk_analytics_mw.django.storage.models import Delivery, Event
from tk_analytics_mw.django.storage.outbox import DjangoOutbox, deliveries_of
from tk_analytics_mw.django.storage.reads import DjangoReader
from tk_analytics_mw.django.storage.records import events_of, record_of
from tk_analytics_mw.django.storage.refusals import DjangoRefusals
from tk_analytics_mw.django.storage.survey import organisations, survey
from tk_analytics_mw.django.storage.threads import off_the_loop
from tk_analytics_mw.django.storage.tokens import DjangoTokens
from tk_analytics_mw.errors import ConfigurationError, StorageUnavailable
from tk_analytics_mw.storage.examination import Finding
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.survey import Survey

logger: Final = logging.getLogger("tk_analytics_mw.storage")


class DjangoStorage:
    """Keeps events in the table ``tk_analytics_event`` of a database of the project's.

    Args:
        alias: of the database, in ``DATABASES``. Routers are not asked.
        durability: ``"full"``: what is acknowledged is on the database's disk, ``synchronous_commit`` on PostgreSQL and
            ``synchronous=FULL`` on SQLite. ``"relaxed"``: a crash of the database may take the last moments.
        commit_timeout: seconds to wait for other writers before :class:`StorageUnavailable`.
    """

    def __init__(self, alias: str = "default", *, durability: str = "full", commit_timeout: float = 5.0) -> None:
        self.alias = alias
        self._connections = Connections(alias, durability=durability, timeout=commit_timeout)
        self.outbox = DjangoOutbox(self._connections)
        self.reader = DjangoReader(self._connections)
        self.figures = DjangoFigures(self._connections)
        self.erasure = DjangoErasure(self._connections)
        self.tokens = DjangoTokens(self._connections)
        self.refusals = DjangoRefusals(self._connections)

    @off_the_loop
    def write(self, events: Sequence[kinds.Event], due: Sequence[Subscription] = ()) -> Sequence[kinds.Event] | None:
        """See :meth:`DurableStorage.write <tk_analytics_mw.storage.outbox.DurableStorage.write>`."""
        records = [record_of(event, None) for event in events]
        with self._connections.writing() as using:
            before = positions.take(using, len(records))
            for position, record in enumerate(records, before + 1):
                record.position = position
            Event.objects.using(using).bulk_create(records, ignore_conflicts=True)
            if due:
                new = Event.objects.using(using).filter(position__gt=before)
                _owe(using, new.values_list("pk", "position", "event_type"), due)
            return _as_they_stand(using, events)

    def write_within(
        self,
        transaction: Any,
        events: Sequence[kinds.Event],
        due: Sequence[Subscription] = (),
        *,
        then: Callable[[], None],
    ) -> Sequence[kinds.Event] | None:
        """See :meth:`JoiningStorage.write_within <tk_analytics_mw.storage.transactions.JoiningStorage.write_within>`.

        Args:
            transaction: the alias of the database on which ``transaction.atomic`` is open.
            events: to be written.
            due: the durable subscriptions.
            then: see there; it is called by ``transaction.on_commit``.
        """
        self._check_block(transaction)
        records = [record_of(event, None) for event in events]
        mine = Event.objects.using(self.alias).filter(pk__in=[record.pk for record in records])
        with self._connections.errors(), transactions.atomic(self.alias):
            held = {*mine.values_list("pk", flat=True)}
            Event.objects.using(self.alias).bulk_create(records, ignore_conflicts=True)
            if due:
                _owe(self.alias, mine.exclude(pk__in=held).values_list("pk", "position", "event_type"), due)
            stored = _as_they_stand(self.alias, events)

        def committed() -> None:
            try:
                with self._connections.writing() as using:
                    positions.give(using)
            except StorageUnavailable as error:
                logger.warning("an event gets its position later: %s", error)
            then()

        transactions.on_commit(committed, using=self.alias)
        return stored

    def _check_block(self, alias: Any) -> None:
        if alias != self.alias:
            raise ConfigurationError(
                f"record(using=…) takes the alias of the database that events are kept in: {self.alias!r}"
            )
        if not connections[self.alias].in_atomic_block:
            raise ConfigurationError(
                f"record(using={self.alias!r}) belongs into a block: with transaction.atomic(using={self.alias!r})"
            )

    def pending(self) -> Sequence[str]:
        """See :class:`~tk_analytics_mw.storage.migrations.MigratedStorage`."""
        with self._connections.outside() as connection:
            return migrating.pending(connection)

    def migrate(self) -> Sequence[str]:
        """See :class:`~tk_analytics_mw.storage.migrations.MigratedStorage`. It is ``manage.py migrate``."""
        names = self.pending()
        with self._connections.errors():
            call_command("migrate", LABEL, database=self.alias, interactive=False, verbosity=0)
        return names

    def organisations(self) -> list[str]:
        """See :class:`~tk_analytics_mw.storage.survey.SurveyedStorage`."""
        return organisations(self._connections)

    def survey(self) -> Survey:
        """See :class:`~tk_analytics_mw.storage.survey.SurveyedStorage`."""
        return survey(self._connections)

    def examine(self) -> Iterator[Finding]:
        """See :class:`~tk_analytics_mw.storage.examination.ExaminedStorage`."""
        return examine(self._connections)

    def close(self) -> None:
        """See :meth:`Storage.close <tk_analytics_mw.storage.base.Storage.close>`."""
        self._connections.close()


def _owe(using: str, new: Any, due: Sequence[Subscription]) -> None:
    owed = [delivery for row in new for delivery in deliveries_of(row, due)]
    Delivery.objects.using(using).bulk_create(owed, ignore_conflicts=True)


def _as_they_stand(using: str, events: Sequence[kinds.Event]) -> Sequence[kinds.Event] | None:
    keys: dict[str, set[str]] = {}
    for event in events:
        if event.idempotency_key is not None:
            keys.setdefault(event.org_id, set()).add(event.idempotency_key)
    if not keys:
        return None
    first = {
        (held.org_id, held.idempotency_key): held
        for org_id, some in keys.items()
        for held in events_of(Event.objects.using(using).filter(org_id=org_id, idempotency_key__in=some))
    }
    return [_first_of(event, first.get((event.org_id, event.idempotency_key))) for event in events]


def _first_of(event: kinds.Event, held: kinds.Event | None) -> kinds.Event:
    return event if held is None or held.id == event.id else held
