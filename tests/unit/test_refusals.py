"""What one process gathers of refusals: bounded, written in time, and not lost when it cannot be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pytest

from tk_analytics_mw import refusals as module
from tk_analytics_mw.errors import Refused, StorageUnavailable
from tk_analytics_mw.messages import Request
from tk_analytics_mw.refusals import AGAIN_AFTER, MOST, WRITE_EVERY, Refusals
from tk_analytics_mw.storage.refusals import OTHER, Refusal, Sample


class Store:
    """Keeps what it is given, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.written: list[Mapping[Refusal, int]] = []
        self.samples: list[Sample] = []

    def add(self, day: date, counts: Mapping[Refusal, int], samples: Sequence[Sample]) -> None:
        if self.away:
            raise StorageUnavailable("away")
        self.written.append(counts)
        self.samples += samples


def a_request(origin: str) -> Request:
    return Request({"type": "http", "method": "POST", "path": "/", "headers": [(b"origin", origin.encode())]})


def test_writes_are_seconds_apart_however_much_is_refused() -> None:
    now = 0.0
    store = Store()
    gathered = Refusals(store, clock=lambda: now)  # type: ignore[arg-type]
    for _ in range(1000):
        if gathered.note(Refused("no", reason="no token"), None):
            gathered.write()
        now += 0.01
    assert len(store.written) == pytest.approx(10 / WRITE_EVERY, abs=1)
    gathered.close()
    assert sum(sum(counts.values()) for counts in store.written) == 1000


def test_memory_is_bounded_whatever_origins_are_sent_and_the_storage_is_away() -> None:
    now = 0.0
    store = Store()
    store.away = True
    gathered = Refusals(store, clock=lambda: now)  # type: ignore[arg-type]
    for number in range(5 * MOST):
        gathered.note(Refused("no", reason="no token"), a_request(f"https://{number}.example"))
        gathered.write()
        now += AGAIN_AFTER / 100
    store.away = False
    now += AGAIN_AFTER
    gathered.write()
    [counts] = store.written
    assert len(counts) <= MOST + 1
    assert sum(counts.values()) == 5 * MOST, "none is lost"
    assert counts[Refusal("", OTHER, "no token", OTHER)] >= 4 * MOST
    assert len(store.samples) == 100
    assert store.samples[-1].refusal.origin == f"https://{5 * MOST - 1}.example"


def test_a_child_has_no_part_in_what_its_parent_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    gathered = Refusals(store)  # type: ignore[arg-type]
    gathered.note(Refused("no"), None)
    monkeypatch.setattr(module.os, "getpid", lambda: -1)
    gathered.close()
    assert store.written == []
