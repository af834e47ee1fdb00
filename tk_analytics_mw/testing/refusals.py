"""Remembering refusals: the tests of :class:`~tk_analytics_mw.storage.refusals.RefusalStorage`."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from tk_analytics_mw.storage.refusals import DAYS, MOST_A_DAY, OTHER, SAMPLES, Refusal, RefusalStorage, Sample
from tk_analytics_mw.testing.opened import Opened, OpenStorage

DAY: Final = date(2026, 11, 24)
ONE: Final = timedelta(days=1)
MOMENT: Final = datetime(2026, 11, 24, 12, 0, 0, 123_000, tzinfo=timezone.utc)

UNKNOWN: Final = Refusal("", "", "unknown token", "https://foreign.example")
DOMAIN: Final = Refusal("acme", "public-1a2b3c4d", "domain not allowed", "https://foreign.example")
FIELD: Final = Refusal("acme", "private-5e6f7a8b", "invalid event", "")


def a_sample(number: int, refusal: Refusal = FIELD, path: str = "body.eventType") -> Sample:
    """A sample, ``number`` seconds younger than the first."""
    return Sample(MOMENT + timedelta(seconds=number), refusal, path)


class RefusalSuite(Opened):
    """``refusals``: what processes gathered is added up, and bounded."""

    protocol = RefusalStorage

    def test_what_several_processes_gathered_is_added_up(self, storage: Any, another: OpenStorage) -> None:
        storage.refusals.add(DAY - ONE, {FIELD: 1}, [])
        storage.refusals.add(DAY, {UNKNOWN: 5, FIELD: 2}, [])
        another().refusals.add(DAY, {FIELD: 1, DOMAIN: 1}, [])
        assert storage.refusals.counts(since=DAY) == [(UNKNOWN, 5), (FIELD, 3), (DOMAIN, 1)]
        assert storage.refusals.counts(since=DAY - ONE, org_id="acme") == [(FIELD, 4), (DOMAIN, 1)]
        assert storage.refusals.counts(since=DAY + ONE) == []

    def test_the_last_samples_of_each_organisation_are_kept(self, storage: Any) -> None:
        storage.refusals.add(DAY, {}, [a_sample(1000, UNKNOWN, path="")])
        for start in range(0, 3 * SAMPLES, SAMPLES):
            storage.refusals.add(DAY, {}, [a_sample(number) for number in range(start, start + SAMPLES)])
        newest_first = [a_sample(number) for number in reversed(range(2 * SAMPLES, 3 * SAMPLES))]
        assert storage.refusals.samples(limit=2 * SAMPLES, org_id="acme") == newest_first
        assert storage.refusals.samples(limit=2) == [a_sample(1000, UNKNOWN, path=""), newest_first[0]]

    def test_no_attack_makes_it_grow_without_bound_or_hides_how_much_was_refused(self, storage: Any) -> None:
        many = {UNKNOWN._replace(origin=f"https://{number}.example"): 1 for number in range(MOST_A_DAY)}
        storage.refusals.add(DAY, many, [])
        storage.refusals.add(DAY, {UNKNOWN: 3, DOMAIN: 2}, [])
        counts = dict(storage.refusals.counts(since=DAY))
        assert sum(counts.values()) == MOST_A_DAY + 5
        assert len(counts) <= MOST_A_DAY + 2
        assert counts[UNKNOWN._replace(token=OTHER, origin=OTHER)] == 3
        assert counts[DOMAIN._replace(token=OTHER, origin=OTHER)] == 2

    def test_old_counts_go(self, storage: Any) -> None:
        storage.refusals.add(DAY, {FIELD: 1}, [])
        storage.refusals.add(DAY + DAYS * ONE, {FIELD: 1}, [])
        assert storage.refusals.counts(since=DAY) == [(FIELD, 2)], "just as old as that is kept"
        storage.refusals.add(DAY + (DAYS + 1) * ONE, {FIELD: 1}, [])
        assert storage.refusals.counts(since=DAY) == [(FIELD, 2)]
