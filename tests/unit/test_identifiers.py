"""Event ids: UUIDv7, in the order of time, and never the same twice."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from tests.unit.making import run_script
from tk_analytics_mw.identifiers import new_event_id, timestamp


def test_an_id_is_a_uuid_of_version_7_that_holds_its_time() -> None:
    before = datetime.now(timezone.utc)
    made = [new_event_id() for _ in range(100)]
    after = datetime.now(timezone.utc)
    for id_, moment in made:
        parsed = uuid.UUID(id_)
        assert str(parsed) == id_  # the canonical spelling: lower case, with hyphens
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert timedelta(milliseconds=parsed.int >> 80) == moment - datetime.fromtimestamp(0, timezone.utc)
        assert before - timedelta(milliseconds=1) <= moment <= after
        assert moment.utcoffset() == timedelta(0)


def test_ids_of_one_thread_sort_in_the_order_in_which_they_were_made() -> None:
    made = [new_event_id()[0] for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


@pytest.fixture
def _threads_that_change_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_threads_that_change_often")
def test_threads_make_different_ids_and_each_its_own_in_order() -> None:
    def make(_: int) -> list[str]:
        return [new_event_id()[0] for _ in range(3000)]

    with ThreadPoolExecutor(8) as pool:
        per_thread = list(pool.map(make, range(8)))
    assert len({id_ for made in per_thread for id_ in made}) == 24_000
    for made in per_thread:
        assert made == sorted(made)


@pytest.mark.parametrize("step", [0, -1, -1_000_000, -3_600_000_000_000], ids=["stops", "1 ns", "1 ms", "1 h"])
def test_ids_differ_when_the_clock_stops_or_steps_back(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    start = time.time_ns()
    ticks = iter(range(1000))
    monkeypatch.setattr(time, "time_ns", lambda: start + step * next(ticks))
    assert len({new_event_id()[0] for _ in range(1000)}) == 1000


def test_parent_and_children_make_different_ids_at_the_same_moment() -> None:
    said = run_script(
        """
        import os, time
        from tk_analytics_mw.identifiers import new_event_id
        now = time.time_ns()
        time.time_ns = lambda: now  # only what is random tells them apart
        def say():
            os.write(1, "".join(new_event_id()[0] + "\\n" for _ in range(50)).encode())
        say()
        for _ in range(4):
            child = os.fork()
            if child == 0:
                say()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        say()
        """
    )
    ids = said.split()
    assert len(ids) == len(set(ids)) == 300


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=timezone.utc), "2026-01-02T03:04:05.006Z"),
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc), "2026-12-31T23:59:59.999Z"),
        (datetime(2026, 1, 1, tzinfo=timezone.utc), "2026-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_written_in_utc_with_milliseconds_and_z(moment: datetime, text: str) -> None:
    assert timestamp(moment) == text
