"""Group commit when who writes or waits is killed, interrupted or forked: nobody is left waiting."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.unit.commit.conftest import (
    PATIENCE,
    Asyncio,
    Eventually,
    Memory,
    Start,
    Threads,
    ids_of,
    refused,
    waiting,
)
from tests.unit.making import an_event, run_script
from tk_analytics_mw.commit import GroupCommit
from tk_analytics_mw.events import Event


class Killed(BaseException):
    """What a greenlet's timeout or a stopping server raises in the middle of anything."""


def test_when_the_writing_thread_is_killed_its_followers_are_told_and_the_others_served(
    start: Start, storage: Memory, eventually: Eventually
) -> None:
    def fault(events: Sequence[Event]) -> None:
        if events[0].id == "leader":
            raise Killed

    storage.fault = fault
    face = start(Threads)
    storage.hold()
    first, leader, follower = face.send("first"), face.send("leader"), face.send("follower")
    storage.let(1)
    assert ids_of(first) == ["first"]
    eventually(lambda: storage.begun == 2)
    later = face.send("later")
    storage.let_all()
    with pytest.raises(Killed):
        leader.result(PATIENCE)
    assert refused(follower)
    assert ids_of(later) == ["later"]
    assert ids_of(face.send("last")) == ["last"]


def leave_at(signalled: Callable[[], None]) -> Callable[[], None]:
    """Have the main thread's next signal run ``signalled``, then raise. Give what sends that signal."""

    def raise_(*_: object) -> None:
        signalled()
        raise Killed

    signal.signal(signal.SIGUSR1, raise_)
    return lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


@pytest.fixture
def _signal_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("_signal_handler")
@pytest.mark.parametrize(
    ("moment", "is_stored"),
    [("in the queue", False), ("when its turn to write has come", False), ("while another thread writes it", True)],
)
def test_a_waiting_thread_that_is_interrupted_leaves_and_nobody_waits_for_it(
    start: Start, storage: Memory, eventually: Eventually, moment: str, is_stored: bool
) -> None:
    """The main thread waits and a signal's handler raises, as under gevent a timeout does."""
    commits = GroupCommit(storage, queue_limit=4, timeout=60.0)
    face = start(Threads, commits)
    storage.hold()
    requests = {"a": face.send("a")}

    def signalled() -> None:  # in the main thread, while it waits
        if moment == "when its turn to write has come":
            storage.let(1)
            requests["a"].result(PATIENCE)  # it has woken its successor, which is here instead
        elif moment == "while another thread writes it":
            storage.let(1)
            eventually(lambda: storage.begun == 2)

    interrupt = leave_at(signalled)

    def beside() -> None:
        eventually(lambda: waiting(commits) == (2 if "b" in requests else 1))
        requests["c"] = face.send("c")
        interrupt()

    if moment == "while another thread writes it":
        requests["b"] = face.send("b")  # it will write for those who come after it
    helper = threading.Thread(target=beside)
    helper.start()
    with pytest.raises(Killed):
        commits.write_blocking([an_event("interrupted")])
    helper.join(PATIENCE)
    if moment == "in the queue":
        assert waiting(commits) == 1
        requests["x1"] = face.send("x1", "x2", "x3")  # with "c" four: it has given its room back
    storage.let_all()
    for request in requests.values():
        request.result(PATIENCE)  # the queue has room again
    requests["last"] = face.send("last")
    acknowledged = [id_ for request in requests.values() for id_ in ids_of(request)]
    assert {*requests} <= {*acknowledged}
    assert sorted(storage.stored) == sorted([*acknowledged, *(["interrupted"] if is_stored else [])])


def test_a_loop_that_ends_in_the_middle_of_a_write_holds_up_no_other(
    start: Start, storage: Memory, eventually: Eventually
) -> None:
    commits = GroupCommit(storage, queue_limit=1000, timeout=60.0)
    storage.hold()

    async def leave() -> None:
        request = asyncio.ensure_future(commits.write_awaiting([an_event("written")]))
        while not storage.begun:
            await asyncio.sleep(0)
        late = asyncio.ensure_future(commits.write_awaiting([an_event("in the queue")]))
        await asyncio.sleep(0)
        storage.let(1)
        for task in (request, late):
            task.cancel()

    asyncio.run(leave())
    eventually(lambda: storage.stored[:1] == ["written"])  # its thread has no loop to wait for it
    storage.let_all()
    assert ids_of(start(Asyncio, commits).send("after")) == ["after"]
    assert storage.stored[-1] == "after"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_that_was_forked_during_a_write_has_a_queue_of_its_own() -> None:
    said = run_script(
        """
        import faulthandler, os, threading, time, warnings
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
        import anyio
        from tests.unit.making import an_event
        from tk_analytics_mw.commit import GroupCommit

        class Slow:
            def __init__(self):
                self.inside, self.gate, self.stored = threading.Event(), threading.Event(), []
            def write(self, events):
                self.inside.set()
                self.gate.wait(60)
                self.stored += [event.id for event in events]
            def close(self):
                pass

        storage = Slow()
        commits = GroupCommit(storage, queue_limit=10, timeout=60)
        threads = [threading.Thread(target=commits.write_blocking, args=([an_event(name)],)) for name in ("a", "b")]
        threads[0].start()
        storage.inside.wait(60)
        threads[1].start()
        while not commits._threads[os.getpid()].waiting:
            time.sleep(0.001)
        child = os.fork()
        if child == 0:
            faulthandler.dump_traceback_later(30, exit=True)
            storage.gate = threading.Event()
            storage.gate.set()
            commits.write_blocking([an_event("of a thread")])
            for backend in ("asyncio", "trio"):
                anyio.run(commits.write_awaiting, [an_event(f"of {backend}")], backend=backend)
            print(storage.stored, flush=True)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child failed"
        storage.gate.set()
        for thread in threads:
            thread.join(60)
        print(storage.stored)
        """
    )
    assert said.splitlines() == ["['of a thread', 'of asyncio', 'of trio']", "['a', 'b']"]
