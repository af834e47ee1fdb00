"""Group commit, both faces: what a batch is, who is refused, and that a bad event fails alone."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.commit.conftest import (
    PATIENCE,
    Eventually,
    Memory,
    Start,
    every_face,
    ids_of,
    refused,
)
from tests.unit.making import an_event
from tk_analytics_mw.commit import GroupCommit
from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.events import Event


@every_face
def test_what_arrives_during_a_write_is_the_next_batch_in_the_order_of_arrival(
    start: Start, storage: Memory, kind: Any
) -> None:
    face = start(kind)
    storage.hold()
    requests = [face.send("a"), face.send("b1", "b2"), face.send("c"), face.send("d1", "d2", "d3")]
    storage.let_all()
    assert [ids_of(request) for request in requests] == [["a"], ["b1", "b2"], ["c"], ["d1", "d2", "d3"]]
    assert storage.tried == [["a"], ["b1", "b2", "c", "d1", "d2", "d3"]]


@every_face
def test_a_lone_request_is_written_at_once(start: Start, storage: Memory, kind: Any) -> None:
    face = start(kind)
    for number in range(3):
        assert ids_of(face.send(f"e{number}")) == [f"e{number}"]
    assert storage.tried == [["e0"], ["e1"], ["e2"]]


@every_face
def test_a_full_queue_refuses_at_once_and_takes_again_when_it_is_empty(
    start: Start, storage: Memory, kind: Any
) -> None:
    face = start(kind, queue_limit=3)
    storage.hold()
    accepted = [face.send("a"), face.send("b1", "b2"), face.send("c")]
    with pytest.raises(StorageUnavailable, match="queue_limit is 3"):
        face.send("d").result(timeout=1)  # while the first write still hangs
    assert storage.tried == []
    storage.let_all()
    assert [ids_of(request) for request in accepted] == [["a"], ["b1", "b2"], ["c"]]
    assert ids_of(face.send("e")) == ["e"]
    assert storage.stored == ["a", "b1", "b2", "c", "e"]


@every_face
def test_a_request_that_is_larger_than_the_limit_passes_when_nobody_waits(
    start: Start, storage: Memory, kind: Any
) -> None:
    face = start(kind, queue_limit=2)
    large = ("l1", "l2", "l3", "l4")
    assert ids_of(face.send(*large)) == [*large]
    storage.hold()
    first, second, third = face.send("a"), face.send(*large), face.send("b")
    assert refused(third)
    storage.let_all()
    assert (ids_of(first), ids_of(second)) == (["a"], [*large])


@every_face
def test_who_has_waited_longer_than_the_timeout_is_refused_when_its_turn_comes(
    start: Start, storage: Memory, eventually: Eventually, kind: Any
) -> None:
    now = [0.0]
    face = start(kind, timeout=5.0, clock=lambda: now[0])
    storage.hold()
    writing = face.send("writing")
    eventually(lambda: storage.begun == 1)
    old = face.send("old")
    now[0] = 3.0
    young = face.send("young")
    now[0] = 7.0
    storage.let_all()
    assert refused(old)
    assert (ids_of(writing), ids_of(young)) == (["writing"], ["young"])
    assert storage.stored == ["writing", "young"]


@every_face
def test_a_bad_event_fails_alone(start: Start, storage: Memory, kind: Any) -> None:
    def fault(events: Sequence[Event]) -> None:
        bad = [event.id for event in events if event.id.startswith("bad")]
        if bad:
            raise ValueError(bad[0])

    storage.fault = fault
    face = start(kind)
    storage.hold()
    requests = {ids: face.send(*ids) for ids in [("a",), ("b", "bad1", "c"), ("bad2",), ("d", "e"), ("f",)]}
    storage.let_all()
    for ids, request in requests.items():
        outcomes = request.result(PATIENCE)
        assert [str(each) if isinstance(each, ValueError) else each.id for each in outcomes] == [*ids]
        assert [isinstance(each, ValueError) for each in outcomes] == [id_.startswith("bad") for id_ in ids]
    assert storage.stored == ["a", "b", "c", "d", "e", "f"]


def test_a_bad_event_among_many_costs_few_writes(storage: Memory) -> None:

    def fault(events: Sequence[Event]) -> None:
        if any(event.id == "bad" for event in events):
            raise ValueError("bad")

    storage.fault = fault
    commits = GroupCommit(storage, queue_limit=10, timeout=60.0)
    outcomes = commits.write_blocking([an_event("bad" if number == 77 else f"e{number}") for number in range(256)])
    assert sum(isinstance(outcome, ValueError) for outcome in outcomes) == 1
    assert len(storage.stored) == 255
    assert len(storage.tried) <= 1 + 2 * 8  # 2 ** 8 events


@every_face
def test_a_storage_that_is_away_is_not_asked_again_for_each_event(start: Start, storage: Memory, kind: Any) -> None:
    def fault(events: Sequence[Event]) -> None:
        raise StorageUnavailable("away")

    storage.fault = fault
    face = start(kind)
    assert refused(face.send("a", "b", "c", "d"))
    assert storage.tried == [["a", "b", "c", "d"]]


@every_face
def test_a_storage_that_answers_for_another_number_of_events_acknowledges_nothing(kind: Any, start: Start) -> None:
    class Forgetful(Memory):
        def write(self, events: Sequence[Event]) -> Any:
            return list(events)[:-1]

    face = start(kind, GroupCommit(Forgetful(), queue_limit=10, timeout=60.0))
    outcomes = face.send("a", "b").result(PATIENCE)
    assert [type(outcome) for outcome in outcomes] == [TypeError, TypeError]


def test_what_is_written_does_not_wait_for_the_garbage_collector() -> None:
    """A cycle for every event, and a busy shop's workers would spend their time on collections."""
    commits = GroupCommit(Memory(), queue_limit=10, timeout=PATIENCE)
    event = an_event()
    kept = weakref.ref(event)
    gc.disable()
    try:
        commits.write_blocking([event])
        del event
        assert kept() is None
    finally:
        gc.enable()
