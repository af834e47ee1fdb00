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
from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.base import Storage

logger: Final = logging.getLogger("tk_analytics_mw.commit")

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
        self._loop: RunVar[_LoopQueue] = RunVar("tk_analytics_commit")

    def write_blocking(self, events: Sequence[Event]) -> list[Outcome]:
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
                queue.waiting.append(ticket)
                queue.length += len(events)
            else:
                queue.busy = True
                ticket.batch = [ticket]
        if ticket.batch is None:
            try:
                ticket.wake.acquire()
            except BaseException:  # a greenlet's timeout, a signal's exception: nobody may be left waiting for us
                queue.leave(ticket)
                raise
        if ticket.batch is not None:
            try:
                self._write_tickets(ticket.batch)
            finally:
                queue.hand_over(ticket)
        return ticket.outcomes or [StorageUnavailable("the write was interrupted") for _ in events]

    async def write_awaiting(self, events: Sequence[Event]) -> list[Outcome]:
        """Give the outcome of each event, suspending the task until it is known.

        Raises:
            StorageUnavailable: the queue is full.
        """
        try:
            queue = self._loop.get()
        except LookupError:
            queue = _LoopQueue()
            self._loop.set(queue)
        self._check_room(queue.length, events)
        ticket = _Ticket(events, self._clock())
        queue.waiting.append(ticket)
        queue.length += len(events)
        done = queue.done
        if not queue.busy:
            queue.busy = True
            _spawn(self._drain, queue)
        await done.wait()
        return ticket.outcomes or [StorageUnavailable("the write was interrupted") for _ in events]

    async def _drain(self, queue: _LoopQueue) -> None:
        try:
            while queue.waiting:
                batch, done = queue.take()
                try:
                    await anyio.to_thread.run_sync(self._write_tickets, batch, limiter=queue.limiter)
                finally:
                    done.set()
        finally:
            queue.busy = False
            queue.take()[1].set()  # not empty only if the loop is being torn down

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

    __slots__ = ("batch", "events", "outcomes", "since", "wake")

    def __init__(self, events: Sequence[Event], since: float) -> None:
        self.events = events
        self.since = since
        self.outcomes: list[Outcome] = []
        self.batch: list[_Ticket] | None = None  # set for the one that writes
        self.wake = threading.Lock()
        self.wake.acquire()


class _ThreadQueue:
    """The queue of the threads of one process."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.waiting: list[_Ticket] = []
        self.length = 0
        self.busy = False

    def hand_over(self, leader: _Ticket) -> None:
        """Wake the followers of ``leader`` and let the first of those who came since write the next batch."""
        batch = leader.batch or []
        with self.mutex:
            following, self.waiting, self.length = self.waiting, [], 0
            if following:
                following[0].batch = following
            else:
                self.busy = False
        for ticket in [*following[:1], *batch]:
            if ticket is not leader:
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
    """The queue of one event loop. Only the loop's own thread touches it."""

    def __init__(self) -> None:
        self.waiting: list[_Ticket] = []
        self.length = 0
        self.busy = False
        self.done = anyio.Event()  # one for all who wait for the next batch
        self.limiter = anyio.CapacityLimiter(1)  # ours: the host's threads may all be taken

    def take(self) -> tuple[list[_Ticket], anyio.Event]:
        batch, done = self.waiting, self.done
        self.waiting, self.length, self.done = [], 0, anyio.Event()
        return batch, done


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
