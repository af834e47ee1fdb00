"""Group commit: one transaction for all events that queued up while the one before was written.

No timer and no standing thread: nobody waits for a batch to fill, and an idle process does nothing.
Both faces keep the same rule, one writer at a time and everybody else in the queue. They differ in
who writes. On an event loop it is a task that lives while there is a queue. Among threads it is the
first one to arrive; when it is done it wakes its followers, each by its own lock, and hands the queue
to the first of those who came since. (A lock that all wait for costs a third of the throughput.)
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.lowlevel import RunVar

from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.base import Storage

logger: Final = logging.getLogger("tk_analytics_mw.commit")

GATHER: Final = 3
"""Turns of the event loop before a batch is taken: one to answer those whose commit is done, one to read
what they send next, one to queue it. Without them a straggler has a commit of its own while all the others
wait: 64 connections got through 8 % less. An idle loop turns three times in some 20 µs."""

Outcome = Event | Exception
"""What became of one event: as it stands in the storage, or why it does not."""


class GroupCommit:
    """Writes events to a storage in batches.

    Args:
        storage: where to.
        queue_limit: events that may wait; more are refused at once with :class:`StorageUnavailable`.
        timeout: seconds after which an event that still waits is refused when its turn comes. (How long the
            write itself may take is the storage's affair.)
        clock: seconds, monotonic.
    """

    def __init__(
        self, storage: Storage, *, queue_limit: int, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage = storage
        self._queue_limit = queue_limit
        self._timeout = timeout
        self._clock = clock
        self._threads: dict[int, _ThreadQueue] = {}  # by process: a lock held during a fork stays held in the child
        self._loops: RunVar[_LoopQueue] = RunVar("tk_analytics_commit")
        self._last_loop_queue: _LoopQueue | None = None  # nearly always the one that RunVar would look up

    def write_blocking(self, events: Sequence[Event]) -> Sequence[Outcome]:
        """Give the outcome of each event, blocking the thread until it is known.

        Raises:
            StorageUnavailable: the queue is full.
        """
        pid = os.getpid()
        queue = self._threads.get(pid) or self._threads.setdefault(pid, _ThreadQueue())
        ticket = _Ticket(events, self._clock())
        with queue.mutex:
            if queue.busy:
                self._check_room(queue.length, events)
                ticket.wake = wake = threading.Lock()
                wake.acquire()
                queue.waiting.append(ticket)
                queue.length += len(events)
            else:
                queue.busy = True
                ticket.batch = [ticket]
        if ticket.batch is None:
            try:
                wake.acquire()
            except BaseException:  # a greenlet's timeout, a signal's exception: nobody may be left waiting for us
                queue.leave(ticket)
                raise
        if ticket.batch is not None:
            try:
                self._write_tickets(ticket.batch)
            finally:
                queue.hand_over(ticket)
        return ticket.result()

    def write_awaiting(self, events: Sequence[Event]) -> Awaitable[Sequence[Outcome]]:
        """Give what to await for the outcome of each event.

        Raises:
            StorageUnavailable: the queue is full.
        """
        queue = self._loop_queue()
        self._check_room(queue.length, events)
        outcome = queue.add(_Ticket(events, self._clock()))
        if not queue.busy:
            queue.busy = True
            _spawn(self._drain, queue)
        return outcome

    async def _drain(self, queue: _LoopQueue) -> None:
        try:
            while queue.waiting:
                for _ in range(GATHER):
                    await anyio.lowlevel.checkpoint()
                tickets = queue.take()
                try:
                    await anyio.to_thread.run_sync(self._write_tickets, tickets, limiter=queue.limiter)
                except Exception:
                    logger.exception("a batch of %d requests could not be written", len(tickets))
                finally:
                    queue.wake(tickets)
        finally:
            queue.busy = False
            queue.wake(queue.take())  # somebody is left only if the loop is being torn down

    def _loop_queue(self) -> _LoopQueue:
        try:
            loop: object = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        queue = self._last_loop_queue
        if queue is None or loop is None or queue.loop is not loop:
            try:
                queue = self._loops.get()
            except LookupError:
                queue = _LoopQueue(loop)
                self._loops.set(queue)
            self._last_loop_queue = queue
        return queue

    def _check_room(self, length: int, events: Sequence[Event]) -> None:
        # A request that is larger than the bound may pass when nobody waits: it could never pass otherwise.
        if length and length + len(events) > self._queue_limit:
            raise StorageUnavailable(f"{length} events wait to be written, queue_limit is {self._queue_limit}")

    def _write_tickets(self, tickets: Sequence[_Ticket]) -> None:
        oldest = self._clock() - self._timeout
        for ticket in tickets:
            if ticket.since < oldest:
                ticket.outcomes = [StorageUnavailable(f"not written within {self._timeout:g} s") for _ in ticket.events]
        live = [ticket for ticket in tickets if not ticket.outcomes]
        outcomes = self._write([event for ticket in live for event in ticket.events])
        position = 0
        for ticket in live:
            ticket.outcomes = outcomes[position : position + len(ticket.events)]
            position += len(ticket.events)

    def _write(self, events: list[Event]) -> list[Outcome]:
        if not events:
            return []
        try:
            stored = self._storage.write(events)
            if stored is None:
                return list(events)
            if len(stored) != len(events):
                raise TypeError(f"{type(self._storage).__name__}.write returned {len(stored)} events for {len(events)}")
            return list(stored)
        except StorageUnavailable as error:
            logger.error("%d events not stored: %s", len(events), error)
            return [error] * len(events)
        except Exception as error:
            if len(events) == 1:
                logger.exception("event %s not stored", events[0].id)
                return [error]
            # One bad event fails alone: halving finds it in 2 log n writes, whatever the storage.
            middle = len(events) // 2
            return self._write(events[:middle]) + self._write(events[middle:])


class _Ticket:
    """What one request waits for."""

    __slots__ = ("batch", "events", "outcomes", "since", "waiter", "wake")

    def __init__(self, events: Sequence[Event], since: float) -> None:
        self.events = events
        self.since = since
        self.outcomes: Sequence[Outcome] = ()
        self.batch: list[_Ticket] | None = None  # of the thread that writes
        self.wake: threading.Lock | None = None  # of a thread that waits
        self.waiter: Any = None  # of a task that waits

    def result(self) -> Sequence[Outcome]:
        """The outcomes, once the write is over."""
        return self.outcomes or [StorageUnavailable("the write was interrupted") for _ in self.events]


class _ThreadQueue:
    """The queue of the threads of one process."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.waiting: list[_Ticket] = []
        self.length = 0
        self.busy = False

    def hand_over(self, leader: _Ticket) -> None:
        """Wake the followers of ``leader`` and let the first of those who came since write the next batch."""
        batch, leader.batch = leader.batch or [], None  # it is in there itself: not to be left to the garbage collector
        with self.mutex:
            following, self.waiting, self.length = self.waiting, [], 0
            if following:
                following[0].batch = following
            else:
                self.busy = False
        for ticket in [*following[:1], *batch]:
            if ticket is not leader and ticket.wake is not None:
                ticket.wake.release()

    def leave(self, ticket: _Ticket) -> None:
        """Take a ticket out whose thread will not wait any longer."""
        with self.mutex:
            if ticket in self.waiting:
                self.waiting.remove(ticket)
                self.length -= len(ticket.events)
                return
            if ticket.batch is None:
                return  # its batch is being written by another thread
            self.waiting[:0] = ticket.batch[1:]
            self.length += sum(len(other.events) for other in ticket.batch[1:])
            ticket.batch = [ticket]
        self.hand_over(ticket)


class _LoopQueue:
    """The queue of one event loop. Only the loop's own thread touches it.

    Args:
        loop: asyncio's running loop; ``None`` for another kind, trio's.
    """

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.waiting: list[_Ticket] = []
        self.length = 0
        self.busy = False
        self.limiter = anyio.CapacityLimiter(1)  # ours: the host's threads may all be taken

    def add(self, ticket: _Ticket) -> Awaitable[Sequence[Outcome]]:
        """Put a ticket into the queue; give what to await for its outcomes."""
        self.waiting.append(ticket)
        self.length += len(ticket.events)
        if self.loop is None:
            ticket.waiter = anyio.Event()
            return _wait(ticket)
        ticket.waiter = future = self.loop.create_future()  # costs half of an event, which makes one anyway
        return future  # type: ignore[no-any-return]

    def take(self) -> list[_Ticket]:
        """Take all tickets."""
        taken, self.waiting, self.length = self.waiting, [], 0
        return taken

    def wake(self, tickets: Sequence[_Ticket]) -> None:
        """Let those go on who brought these tickets."""
        for ticket in tickets:
            if self.loop is None:
                ticket.waiter.set()
            elif not ticket.waiter.done():  # its task may have been cancelled
                ticket.waiter.set_result(ticket.result())


async def _wait(ticket: _Ticket) -> Sequence[Outcome]:
    await ticket.waiter.wait()
    return ticket.result()


_tasks: set[asyncio.Task[Any]] = set()  # a loop keeps only weak references to its tasks


def _spawn(function: Callable[..., Any], *args: Any) -> None:
    """Run an async function as a task of its own, that no request's cancellation reaches."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        trio.lowlevel.spawn_system_task(function, *args)
        return
    # An empty context: the task outlives the request that happens to start it.
    task = contextvars.Context().run(loop.create_task, function(*args))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
