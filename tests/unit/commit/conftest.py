"""A storage that can be held, and the faces of a group commit with requests that run beside the test."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Protocol

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from tests.unit.making import an_event
from tk_analytics_mw.commit import GroupCommit
from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.events import Event

PATIENCE = 60.0


Eventually = Callable[[Callable[[], object]], None]


class Memory:
    """A storage in memory. While it is held, each write waits for a permit."""

    def __init__(self) -> None:
        self.tried: list[list[str]] = []
        self.stored: list[str] = []
        self.begun = 0
        self.fault: Callable[[Sequence[Event]], object] = lambda events: None
        self._held = False
        self._permits = threading.Semaphore(0)

    def hold(self) -> None:
        self._held = True

    def let(self, writes: int) -> None:
        self._permits.release(writes)

    def let_all(self) -> None:
        self._held = False
        self._permits.release(100)

    def write(self, events: Sequence[Event]) -> None:
        self.begun += 1
        if self._held:
            assert self._permits.acquire(timeout=PATIENCE), "the test never let it write"
        ids = [event.id for event in events]
        self.tried.append(ids)
        self.fault(events)
        self.stored += ids

    def close(self) -> None:
        pass


def waiting(commits: GroupCommit) -> int:
    """How many threads' requests are in the queue."""
    queue = commits._threads.get(os.getpid())
    return len(queue.waiting) if queue else 0


class Face(Protocol):
    """One of the faces, with requests that run beside the test."""

    def send(self, *ids: str) -> Future[Any]:
        """Start a request of these events. It waits or is answered when this returns."""


class Threads:
    def __init__(self, commits: GroupCommit, storage: Memory, stack: ExitStack, eventually: Eventually) -> None:
        self._commits = commits
        self._storage = storage
        self._eventually = eventually
        self._pool = stack.enter_context(ThreadPoolExecutor(20))

    def _state(self) -> tuple[int, int]:
        return waiting(self._commits), self._storage.begun

    def send(self, *ids: str) -> Future[Any]:
        before = self._state()
        future = self._pool.submit(self._commits.write_blocking, [an_event(id_) for id_ in ids])
        self._eventually(lambda: future.done() or self._state() != before)
        return future


class Loop:
    backend: str

    def __init__(self, commits: GroupCommit, storage: Memory, stack: ExitStack, eventually: Eventually) -> None:
        self._commits = commits
        self._portal = stack.enter_context(anyio.from_thread.start_blocking_portal(self.backend))

    def send(self, *ids: str) -> Future[Any]:
        future = self._portal.start_task_soon(self._commits.write_awaiting, [an_event(id_) for id_ in ids])
        self._portal.call(anyio.wait_all_tasks_blocked)
        return future


class Asyncio(Loop):
    backend = "asyncio"


class Trio(Loop):
    backend = "trio"


FACES = (Threads, Asyncio, Trio)


every_face = pytest.mark.parametrize("kind", FACES)


Start = Callable[..., Face]


@pytest.fixture
def storage() -> Memory:
    return Memory()


@pytest.fixture
def start(storage: Memory, eventually: Eventually) -> Iterator[Start]:
    """Start a face of a group commit, with these options. In the end every write goes on."""
    with ExitStack() as stack:

        def make(kind: Callable[..., Face], commits: GroupCommit | None = None, **options: Any) -> Face:
            made = commits or GroupCommit(storage, **{"queue_limit": 1000, "timeout": 60.0, **options})
            face = kind(made, storage, stack, eventually)
            stack.callback(storage.let_all)  # before the face is left: it waits for its requests
            return face

        yield make


def ids_of(future: Future[Any]) -> list[str]:
    """The ids of a request that was stored."""
    return [event.id for event in future.result(PATIENCE)]


def refused(future: Future[Any]) -> bool:
    """Whether every event of a request, or the request itself, met a storage that is not available."""
    try:
        outcomes = future.result(PATIENCE)
    except StorageUnavailable:
        return True
    return all(isinstance(outcome, StorageUnavailable) for outcome in outcomes)
