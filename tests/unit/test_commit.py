"""Group commit, both faces: what a batch is, who is refused, and that nobody is left waiting."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Protocol

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from tests.unit.making import an_event, run_script
from tk_analytics_mw.commit import GroupCommit
from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.events import Event

PATIENCE = 10.0
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


def test_a_loop_that_ends_in_the_middle_of_a_write_holds_up_no_other(start: Start, storage: Memory) -> None:
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
    storage.let_all()
    assert ids_of(start(Asyncio, commits).send("after")) == ["after"]
    assert storage.stored[0] == "written"
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
                self.gate.wait(10)
                self.stored += [event.id for event in events]
            def close(self):
                pass

        storage = Slow()
        commits = GroupCommit(storage, queue_limit=10, timeout=60)
        threads = [threading.Thread(target=commits.write_blocking, args=([an_event(name)],)) for name in ("a", "b")]
        threads[0].start()
        storage.inside.wait(10)
        threads[1].start()
        while not commits._threads[os.getpid()].waiting:
            time.sleep(0.001)
        child = os.fork()
        if child == 0:
            faulthandler.dump_traceback_later(10, exit=True)
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
            thread.join(10)
        print(storage.stored)
        """
    )
    assert said.splitlines() == ["['of a thread', 'of asyncio', 'of trio']", "['a', 'b']"]


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
