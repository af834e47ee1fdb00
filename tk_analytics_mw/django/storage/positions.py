"""The order of commits: who writes takes the next positions and holds the counter until the commit.

A transaction of the host's does not: it may stay open for long. Its events have no position, until after its commit
somebody gives it to them and to their deliveries: the process that committed it, at once; or, should that die in
between, whoever reads or delivers next.
"""

from __future__ import annotations

from typing import Final

from django.db.models import F

from tk_analytics_mw.django.storage.models import Counter, Delivery, Event

SLICE: Final = 500
"""Events that get their positions within one transaction."""

_ONE: Final = 1  # the row's primary key


def take(using: str, number: int) -> int:
    """Take so many positions within the transaction; give the one before the first of them."""
    rows = Counter.objects.using(using)
    while not rows.filter(pk=_ONE).update(last=F("last") + number):
        rows.bulk_create([Counter(pk=_ONE)], ignore_conflicts=True)
    return last(using) - number


def last(using: str) -> int:
    """The position that was given last."""
    return Counter.objects.using(using).filter(pk=_ONE).values_list("last", flat=True).first() or 0


def missing(using: str) -> bool:
    """Whether there are committed events without one: the index has those together."""
    return bool(Event.objects.using(using).filter(position=None).exists())


def give(using: str) -> None:
    """Give positions to the events that have none, within the transaction."""
    take(using, 0)  # from here on nobody else does
    ids = [*Event.objects.using(using).filter(position=None).order_by("pk").values_list("pk", flat=True)[:SLICE]]
    before = take(using, len(ids))
    for position, id_ in enumerate(ids, before + 1):
        Event.objects.using(using).filter(pk=id_).update(position=position)
        Delivery.objects.using(using).filter(event_id=id_).update(position=position)
