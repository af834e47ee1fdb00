"""Refusals: the tables ``tk_analytics_refusal`` and ``tk_analytics_refusal_sample``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from django.db.models import F, Sum

from tk_analytics_mw.django.storage import positions
from tk_analytics_mw.django.storage.connections import Connections
from tk_analytics_mw.django.storage.models import RefusalCount, RefusalSample
from tk_analytics_mw.django.storage.threads import off_the_loop
from tk_analytics_mw.storage.refusals import DAYS, MOST_A_DAY, OTHER, SAMPLES, Refusal, Sample

_VALUES: Final = 200  # of each of four fields, in one statement; SQLite before 3.32 allows 999


class DjangoRefusals:
    """See :class:`~tk_analytics_mw.storage.refusals.RefusalStore`.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @off_the_loop
    def add(self, day: date, counts: Mapping[Refusal, int], samples: Sequence[Sample]) -> None:
        """See :meth:`RefusalStore.add <tk_analytics_mw.storage.refusals.RefusalStore.add>`."""
        with self._connections.writing() as using:
            positions.take(using, 0)  # one at a time: who counts the same would make two rows of it
            rows = RefusalCount.objects.using(using)
            held = _held(rows, day, counts)
            room = max(MOST_A_DAY - rows.filter(day=day).count(), 0)
            new = [refusal for refusal in counts if refusal not in held]
            further: defaultdict[Refusal, int] = defaultdict(int)
            for refusal in new[room:]:
                further[refusal._replace(token=OTHER, origin=OTHER)] += counts[refusal]
            held |= _held(rows, day, further)
            numbers = {refusal: number for refusal, number in counts.items() if refusal in held} | further
            alike: defaultdict[int, list[int]] = defaultdict(list)  # nearly always one or two: a statement for each
            for refusal, number in numbers.items():
                if refusal in held:
                    alike[number].append(held[refusal])
            for number, ids in alike.items():
                for some in _slices(ids):
                    rows.filter(pk__in=some).update(number=F("number") + number)
            numbers = {refusal: counts[refusal] for refusal in new[:room]} | further
            rows.bulk_create(
                RefusalCount(day=day, number=number, **refusal._asdict())
                for refusal, number in numbers.items()
                if refusal not in held
            )
            rows.filter(day__lt=day - timedelta(days=DAYS)).delete()
            kept = RefusalSample.objects.using(using)
            kept.bulk_create(
                [
                    RefusalSample(refused_at=each.refused_at, path=each.path, **each.refusal._asdict())
                    for each in samples
                ]
            )
            for org_id in {each.refusal.org_id for each in samples}:
                its = kept.filter(org_id=org_id)
                last = its.order_by("-pk").values_list("pk", flat=True)[SAMPLES : SAMPLES + 1].first()
                if last is not None:
                    its.filter(pk__lte=last).delete()

    def counts(self, *, since: date, org_id: str | None = None) -> list[tuple[Refusal, int]]:
        """See :meth:`RefusalStore.counts <tk_analytics_mw.storage.refusals.RefusalStore.counts>`."""
        with self._connections.reading() as using:
            rows = RefusalCount.objects.using(using).filter(day__gte=since)
            if org_id is not None:
                rows = rows.filter(org_id=org_id)
            summed = rows.order_by().values_list(*Refusal._fields).annotate(Sum("number"))
            found = [(Refusal(*key), number) for *key, number in summed]
        return sorted(found, key=lambda each: (-each[1], each[0]))

    def samples(self, *, limit: int, org_id: str | None = None) -> list[Sample]:
        """See :meth:`RefusalStore.samples <tk_analytics_mw.storage.refusals.RefusalStore.samples>`."""
        with self._connections.reading() as using:
            rows = RefusalSample.objects.using(using).order_by("-refused_at", "-pk")
            if org_id is not None:
                rows = rows.filter(org_id=org_id)
            return [
                Sample(row.refused_at, Refusal(row.org_id, row.token, row.reason, row.origin), row.path)
                for row in rows[:limit]
            ]


def _held(rows: Any, day: date, counts: Iterable[Refusal]) -> dict[Refusal, int]:
    """The primary keys of those that have been counted on this day."""
    found: dict[Refusal, int] = {}
    for some in _slices([*counts]):
        either = {
            f"{name}__in": {*values} for name, values in zip(Refusal._fields, zip(*some, strict=True), strict=True)
        }
        for pk, *key in rows.filter(day=day, **either).values_list("pk", *Refusal._fields):
            found[Refusal(*key)] = pk
    return found


def _slices(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[first : first + _VALUES] for first in range(0, len(items), _VALUES))
