"""Reading: the tests of :class:`~tk_analytics_mw.storage.reader.ReadableStorage`, by comparison with plain Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tk_analytics_mw.queries import Filter, Order
from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.storage.reader import ReadableStorage, Reader
from tk_analytics_mw.testing.making import MOMENT, an_event, event_id
from tk_analytics_mw.testing.opened import Opened, examples, new_organisation

VALUES: Final[tuple[Any, ...]] = ("x", "X", "1", 1, 1.0, 2.5, True, False, None, "true", 'ä"\\', {"r": 1}, [1, "x"])
"""Of metadata: what is easily taken for another one."""
KEYS: Final = ("key", 'a.b"c', "$", "")

_fields = st.fixed_dictionaries(
    {
        "minute": st.integers(0, 12),
        "event_type": st.sampled_from(["product cart-add", "product ordered", "product session start"]),
        "session_id": st.sampled_from(["s-1", "s-2", "S-1"]),
    },
    optional={
        "user_id": st.sampled_from(["u-1", "u-2"]),
        "asset_id": st.sampled_from(["chair", "Chair", "ü"]),
        "metric": st.sampled_from([0.0, 1.0, -2.5]),
        "referer": st.just("https://shop.example.com/"),
        "event_metadata": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3),
    },
)
_scalars = [value for value in VALUES if not isinstance(value, (dict, list))]
_filters = st.builds(
    Filter,
    st.just(""),
    equals=st.fixed_dictionaries(
        {},
        optional={
            "event_type": st.just("product ordered"),
            "session_id": st.sampled_from(["s-1", "nobody"]),
            "user_id": st.just("u-1"),
            "asset_id": st.sampled_from(["chair", "ü"]),
            "metric": st.sampled_from([1, -2.5]),
            "referer": st.sampled_from(["", "https://shop.example.com/"]),
        },
    ),
    metadata=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(_scalars), max_size=1),
    since=st.none() | st.integers(0, 12).map(lambda minute: MOMENT + timedelta(minutes=minute)),
    until=st.none() | st.integers(0, 12).map(lambda minute: MOMENT + timedelta(minutes=minute, microseconds=500)),
)
_orders: Final[tuple[Order, ...]] = ("newest", "oldest")


def compare(reader: Reader, model: Reader, wanted: Filter, *, limit: int, skip: int = 0) -> None:
    """See that a reader gives every answer about these events that the model gives."""
    expected = model.count(wanted)
    assert reader.count(wanted) == expected
    assert reader.count(wanted, most=limit) == model.count(wanted, most=limit)
    for order in _orders:
        page, right = (
            reader.events(wanted, order, limit=limit, skip=skip),
            model.events(wanted, order, limit=limit, skip=skip),
        )
        assert list(page.events) == list(right.events), (wanted, order)
        assert (page.next is None) == (right.next is None)
        if page.next is not None:
            behind = reader.events(wanted, order, limit=limit, after=page.next)
            assert list(behind.events) == list(model.events(wanted, order, limit=limit, after=right.next).events)
    sessions, right_ones = reader.sessions(wanted, limit=limit), model.sessions(wanted, limit=limit)
    assert list(map(_plain, sessions.sessions)) == list(map(_plain, right_ones.sessions)), wanted
    assert (sessions.next is None) == (right_ones.next is None)
    if sessions.next is not None:
        following = reader.sessions(wanted, limit=limit, after=sessions.next).sessions
        right_following = model.sessions(wanted, limit=limit, after=right_ones.next).sessions
        assert list(map(_plain, following)) == list(map(_plain, right_following)), wanted


def slices(question: Any, wanted: Filter, after: int, until: int) -> Iterator[Any]:
    """What ``reader.lines`` or ``reader.rows`` answers from one slice to the next; each may go as far as it likes."""
    while after < until:
        part = question(wanted, after=after, until=until)
        assert part.position > after, "it goes on"
        yield part
        after = part.position


def _plain(session: Any) -> Any:
    return replace(session, event_types=list(session.event_types))


class ReaderSuite(Opened):
    """``reader``: one event, lists, counts, sessions and exports, of one organisation at a time."""

    protocol = ReadableStorage

    def fill(self, storage: Any, org_id: str, made: Sequence[Mapping[str, Any]]) -> MemoryStorage:
        """Store events there and in a model; give that."""
        model = MemoryStorage()
        first = int(org_id.partition("-")[2]) * 100
        events = []
        for number, fields in enumerate(made):
            moment = MOMENT + timedelta(minutes=fields["minute"])
            rest = {name: value for name, value in fields.items() if name != "minute"}
            events.append(an_event(first + number, org_id=org_id, created_at=moment, **rest))
        for start in range(0, len(events), 5):
            storage.write(events[start : start + 5])
            model.write(events[start : start + 5])
        return model

    @examples
    @given(
        st.lists(_fields, max_size=30), st.lists(_filters, min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 3)
    )
    def test_every_answer_is_that_of_a_plain_list(
        self, storage: Any, made: list[dict[str, Any]], filters: list[Filter], limit: int, skip: int
    ) -> None:
        if self.enough():
            return
        org_id = new_organisation()
        model = self.fill(storage, org_id, made)
        for wanted in filters:
            compare(storage.reader, model.reader, replace(wanted, org_id=org_id), limit=limit, skip=skip)
        for session_id in ("s-1", "S-1", "nobody"):
            session, right = storage.reader.session(org_id, session_id), model.reader.session(org_id, session_id)
            assert (session and _plain(session)) == (right and _plain(right))

    @examples
    @given(st.lists(_fields, max_size=12), _filters)
    def test_an_export_is_every_event_once_in_the_order_of_commits(
        self, storage: Any, made: list[dict[str, Any]], wanted: Filter
    ) -> None:
        if self.enough():
            return
        org_id = new_organisation()
        wanted = replace(wanted, org_id=org_id)
        after = storage.reader.last_position()
        model = self.fill(storage, org_id, made)
        expected = [str(row[0]) for row in model.reader.rows(wanted, after=0, until=len(made)).rows]
        until = storage.reader.last_position()
        storage.write([an_event(int(org_id.partition("-")[2]) * 100 + 99, org_id=org_id)])  # later: not in it
        rows = [row for part in slices(storage.reader.rows, wanted, after, until) for row in part.rows]
        assert [row[0] for row in rows] == expected
        lines = [part.lines for part in slices(storage.reader.lines, wanted, after, until)]
        shown = {event.id: event.as_read() for event in model.events}
        assert [*map(json.loads, b"".join(lines).splitlines())] == [shown[id_] for id_ in expected]

    def test_an_organisation_reads_its_own_events_alone(self, storage: Any) -> None:
        mine, other = an_event(1), an_event(2, org_id="rival", session_id="s-2")
        storage.write([mine, other])
        reader = storage.reader
        assert (reader.event("acme", mine.id), reader.event("acme", other.id)) == (mine, None)
        assert reader.event("acme", event_id(3)) is None
        assert reader.session("acme", "s-2") is None
        assert list(reader.events(Filter("acme"), "newest", limit=10).events) == [mine]
        assert [session.session_id for session in reader.sessions(Filter("acme"), limit=10).sessions] == ["s-1"]
        assert reader.count(Filter("acme")).events == 1

    @pytest.mark.parametrize("text", ["'; DROP TABLE events; --", "%", "_", "*", '"', "\\"])
    def test_no_value_is_more_than_a_value(self, storage: Any, text: str) -> None:
        storage.write([an_event(1, asset_id=text, event_metadata={text: text}), an_event(2, asset_id="x")])
        for wanted in (Filter("acme", {"asset_id": text}), Filter("acme", metadata={text: text})):
            assert storage.reader.count(wanted).events == 1
        assert storage.reader.count(Filter(text)).events == 0

    def test_without_any_event_there_is_nothing(self, storage: Any) -> None:
        reader = storage.reader
        assert reader.last_position() == 0
        assert list(reader.events(Filter("acme"), "newest", limit=10).events) == []
        assert list(reader.sessions(Filter("acme"), limit=10).sessions) == []

    def test_a_child_that_is_forked_reads(self, storage: Any) -> None:
        storage.write([an_event(1)])
        assert storage.reader.count(Filter("acme")).events == 1

        def read() -> None:
            assert storage.reader.count(Filter("acme")).events == 1

        self.in_a_fork(read)
        assert storage.reader.count(Filter("acme")).events == 1
