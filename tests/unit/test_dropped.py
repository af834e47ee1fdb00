"""The count of dropped events: exact, whatever threads do, and of bounded size."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from tk_analytics_mw.hooks import MAX_REASONS, Hooks

THREADS = 8
TIMES = 3_000


@pytest.fixture
def _hasty_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Naive(Hooks):
    """The control: a sum that another thread can come in between."""

    def count_dropped(self, reason: str, number: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + number


def lost(kind: type[Hooks]) -> int:
    hooks = kind()
    start = threading.Barrier(THREADS)

    def count() -> None:
        start.wait()
        for _ in range(TIMES):
            hooks.count_dropped("sampled")

    threads = [threading.Thread(target=count) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return THREADS * TIMES - hooks.dropped["sampled"]


@pytest.mark.usefixtures("_hasty_switches")
def test_threads_lose_no_count() -> None:
    assert [lost(Hooks) for _ in range(10)] == [0] * 10
    assert any(lost(Naive) for _ in range(50)), "the test can see a loss"


def test_a_reason_that_holds_anything_does_not_fill_the_memory() -> None:
    hooks = Hooks()
    for number in range(3 * MAX_REASONS):
        hooks.count_dropped(f"user {number}")
    hooks.count_dropped("user 0", 5)
    hooks.count_dropped("nothing", 0)
    assert len(hooks.dropped) == MAX_REASONS + 1
    assert hooks.dropped["user 0"] == 6
    assert hooks.dropped["other"] == 2 * MAX_REASONS
