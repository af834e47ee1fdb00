"""Loops and threads share one group commit, and it leaves nothing running."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from tests.unit.commit.conftest import (
    PATIENCE,
    Asyncio,
    Memory,
    Start,
    Threads,
    Trio,
    ids_of,
)
from tests.unit.making import an_event
from tk_analytics_mw.commit import GroupCommit
from tk_analytics_mw.events import Event


def test_threads_leave_no_thread_behind(storage: Memory) -> None:
    before = set(threading.enumerate())
    commits = GroupCommit(storage, queue_limit=1000, timeout=60.0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: commits.write_blocking([an_event(f"e{number}")]), range(200)))
    assert len(storage.stored) == 200
    assert set(threading.enumerate()) == before


def living_tasks(backend: str) -> int:
    if backend == "asyncio":
        return len(asyncio.all_tasks())
    import trio

    return trio.lowlevel.current_statistics().tasks_living


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_idle_loop_has_no_task_of_ours(storage: Memory, backend: str) -> None:
    commits = GroupCommit(storage, queue_limit=1000, timeout=60.0)

    async def write(number: int) -> None:
        await commits.write_awaiting([an_event(f"e{number}")])

    async def main() -> None:
        before = living_tasks(backend)
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(write, number)
        assert len(storage.stored) == 50
        with anyio.fail_after(PATIENCE):
            while living_tasks(backend) > before:
                await anyio.lowlevel.checkpoint()

    anyio.run(main, backend=backend)


def test_loops_and_threads_share_one_group_commit(start: Start, storage: Memory) -> None:
    commits = GroupCommit(storage, queue_limit=1000, timeout=60.0)
    faces = [start(kind, commits) for kind in (Asyncio, Trio, Asyncio, Threads)]
    storage.hold()
    requests = {
        f"{number}-{turn}": face.send(f"{number}-{turn}") for turn in range(5) for number, face in enumerate(faces)
    }
    storage.let_all()
    for id_, request in requests.items():
        assert ids_of(request) == [id_]
    assert sorted(storage.stored) == sorted(requests)
    for number in range(len(faces)):
        assert [id_ for id_ in storage.stored if id_.startswith(f"{number}-")] == [
            f"{number}-{turn}" for turn in range(5)
        ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_loop_after_another_uses_the_same_group_commit(storage: Memory, backend: str) -> None:
    commits = GroupCommit(storage, queue_limit=1000, timeout=60.0)
    for number in range(3):
        [stored] = anyio.run(commits.write_awaiting, [an_event(f"e{number}")], backend=backend)
        assert isinstance(stored, Event)
    assert storage.stored == ["e0", "e1", "e2"]
