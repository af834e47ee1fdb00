"""Figures: the tests of :class:`~tk_analytics_mw.storage.figures.CountingStorage`, by comparison with plain Python."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tk_analytics_mw.events import Event
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.erasure import ErasingStorage, Subject
from tk_analytics_mw.storage.figures import CountingStorage, Dimension, Figures, Reached
from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.testing.making import an_event
from tk_analytics_mw.testing.opened import Opened, new_organisation

START: Final = datetime(2026, 10, 23, 18, tzinfo=timezone.utc)
DAYS: Final = 5
TYPES: Final = (
    "product session start",
    "product configuration start",
    "product configuration attribute set",
    "product cart-add",
    "product ordered",
)
VALUES: Final[tuple[Any, ...]] = (
    "x",
    "1",
    1,
    1.0,
    2.5,
    True,
    False,
    None,
    "true",
    {"r": 1, "g": 2},
    {"g": 2, "r": 1},
    [1, "x"],
    'ä"\\',
)
DIMENSIONS: Final = (
    Dimension("asset_id"),
    Dimension("event_type"),
    Dimension("device_type"),
    Dimension("browser"),
    Dimension("system"),
    Dimension("event_metadata", "key"),
    Dimension("event_metadata", 'a.b"c'),
    Dimension("configuration", "Fabric"),
)
MILLISECOND: Final = timedelta(milliseconds=1)

_moments = (st.integers(0, DAYS * 86_400_000 - 1) | st.integers(0, DAYS * 24).map(lambda hour: hour * 3_600_000)).map(
    lambda milliseconds: START + milliseconds * MILLISECOND
)
_events = st.fixed_dictionaries(
    {
        "created_at": _moments,
        "event_type": st.sampled_from(TYPES),
        "session_id": st.sampled_from(["s-1", "s-2", "s-3"]),
    },
    optional={
        "user_id": st.sampled_from(["u-1", "u-2"]),
        "asset_id": st.sampled_from(["chair", "table", "Sofa", "ü"]),
        "browser": st.sampled_from(["Firefox", "Safari"]),
        "system": st.sampled_from(["Linux", "iOS"]),
        "device_type": st.sampled_from(["pc", "mobile"]),
        "metric": st.integers(-3, 9).map(lambda number: number / 2),
        "event_metadata": st.dictionaries(st.sampled_from(["key", 'a.b"c', "other"]), st.sampled_from(VALUES)),
        "configuration": st.dictionaries(st.sampled_from(["Fabric", "Colour"]), st.sampled_from(["x", 1, {"r": 1}])),
    },
)
_batches = st.lists(_events, min_size=1, max_size=12)
_filters = st.builds(
    Filter,
    st.just(""),
    equals=st.fixed_dictionaries(
        {},
        optional={
            "asset_id": st.sampled_from(["chair", "table"]),
            "browser": st.just("Firefox"),
            "session_id": st.just("s-1"),
        },
    ),
    metadata=st.sampled_from([{}, {}, {"key": "x"}, {"key": 1}]),
    since=st.none() | _moments,
    until=st.none() | _moments,
)
_edges = st.lists(_moments, min_size=2, max_size=6, unique=True).map(sorted) | st.sampled_from([1, 6, 24]).map(
    lambda hours: [START + timedelta(hours=hour) for hour in range(0, DAYS * 24 + 1, hours)]
)
_asked = st.one_of(
    st.tuples(st.just("views"), _filters, st.none() | st.sampled_from(TYPES), _edges),
    st.tuples(
        st.just("breakdown"),
        _filters,
        st.none() | st.sampled_from(TYPES),
        st.sampled_from(DIMENSIONS),
        st.integers(1, 4),
    ),
    st.tuples(
        st.just("funnel"),
        _filters,
        st.lists(st.sampled_from(TYPES), min_size=1, max_size=4),
        st.sampled_from([None, timedelta(hours=1), timedelta(hours=25)]),
    ),
    st.tuples(st.just("attributes"), _filters),
    st.tuples(st.just("span")),
)
_steps = st.one_of(
    st.tuples(st.just("store"), _batches),
    st.tuples(st.just("again"), st.integers(0, 9)),
    st.tuples(
        st.just("erase"),
        st.sampled_from([{"session_id": "s-1"}, {"session_id": "s-2"}, {"user_id": "u-1"}, {"user_id": "u-2"}]),
    ),
    st.tuples(st.just("purge"), _moments),
    _asked,
    _asked,
    _asked,
)


class FiguresSuite(Opened):
    """``figures``: whatever is stored, stored again and removed, and whoever asks in between, they are right."""

    protocol = CountingStorage

    @settings(max_examples=100, deadline=None, suppress_health_check=[*HealthCheck])
    @given(
        rebuilt=st.booleans(),
        first=_batches,
        then=st.lists(_steps, min_size=4, max_size=14),
        last=st.lists(_asked, min_size=3, max_size=6),
    )
    def test_every_figure_is_what_plain_python_says(
        self, storage: Any, rebuilt: bool, first: Any, then: Any, last: Any
    ) -> None:
        if self.enough():
            return
        both = _Both(storage)
        both.store(first)
        for what, *how in then:
            getattr(both, what)(*how)
        if rebuilt:
            storage.figures.rebuild()
        for what, *how in last:
            getattr(both, what)(*how)

    def test_old_events_that_are_purged_are_counted_no_more(self, storage: Any) -> None:
        if not isinstance(storage, ErasingStorage):
            pytest.skip("it cannot erase")
        figures: Figures = storage.figures  # type: ignore[attr-defined]
        days = [an_event(day, created_at=START + timedelta(days=day)) for day in range(DAYS)]
        storage.write(days)
        edges = [START + timedelta(days=day) for day in range(DAYS + 1)]
        assert figures.views(Filter("acme"), edges) == [1] * DAYS
        figures.breakdown(Filter("acme"), Dimension("asset_id"), top=1)
        storage.erasure.purge(START + timedelta(days=2))
        assert figures.views(Filter("acme"), edges) == [0, 0, 1, 1, 1]
        assert figures.breakdown(Filter("acme"), Dimension("asset_id"), top=1).total.events == DAYS - 2
        assert figures.span("acme") == (days[2].created_at, days[-1].created_at)


class _Both:
    """An organisation of its own in the storage, and in a model; what is done is done with both."""

    def __init__(self, storage: Any) -> None:
        self.org_id = new_organisation()
        self.storage = storage
        self.model = MemoryStorage()
        self.number = int(self.org_id.partition("-")[2]) * 1000
        self.batches: list[list[Event]] = []

    def store(self, batch: list[dict[str, Any]]) -> None:
        events = [an_event(self.number + number, **fields, org_id=self.org_id) for number, fields in enumerate(batch)]
        self.number += len(batch)
        self.batches.append(events)
        self._write(events)

    def again(self, number: int) -> None:
        """What a client does that got no answer. What was removed since comes back."""
        self._write(self.batches[number % len(self.batches)])

    def _write(self, events: list[Event]) -> None:
        self.storage.write(events)
        self.model.write(events)

    def erase(self, subject: dict[str, str]) -> None:
        if isinstance(self.storage, ErasingStorage):
            for storage in (self.storage, self.model):
                for _ in storage.erasure.erase(Subject(self.org_id, **subject)):
                    pass

    def purge(self, before: datetime) -> None:
        """Of the examples before this one as well: nobody looks at those any more."""
        if isinstance(self.storage, ErasingStorage):
            for storage in (self.storage, self.model):
                while storage.erasure.purge(before).events:
                    pass

    def _filter(self, wanted: Filter, event_type: str | None = None) -> Filter:
        equals = wanted.equals if event_type is None else {**wanted.equals, "event_type": event_type}
        return replace(wanted, org_id=self.org_id, equals=equals)

    @property
    def _figures(self) -> tuple[Figures, Figures]:
        return self.storage.figures, self.model.figures

    def views(self, wanted: Filter, event_type: str | None, edges: list[datetime]) -> None:
        found, right = (each.views(self._filter(wanted, event_type), edges) for each in self._figures)
        assert found == right
        assert len(found) == len([*pairwise(edges)])

    def breakdown(self, wanted: Filter, event_type: str | None, by: Dimension, top: int) -> None:
        found, right = (each.breakdown(self._filter(wanted, event_type), by, top=top) for each in self._figures)
        assert list(found.groups) == list(right.groups)
        assert replace(found, groups=()) == replace(right, groups=())

    def funnel(self, wanted: Filter, steps: list[str], within: timedelta | None) -> None:
        found, right = (each.funnel(self._filter(wanted), steps, within) for each in self._figures)
        assert list(map(_rounded, found)) == list(map(_rounded, right))

    def attributes(self, wanted: Filter) -> None:
        found, right = (each.attributes(self._filter(wanted)) for each in self._figures)
        assert list(found) == list(right)

    def span(self) -> None:
        found, right = (each.span(self.org_id) for each in self._figures)
        assert found == right


def _rounded(step: Reached) -> tuple[int, float | None]:
    return step.sessions, None if step.median is None else round(step.median.total_seconds(), 3)
