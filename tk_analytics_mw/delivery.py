"""Calling durable hooks: claim what is due, call the function, write down what became of it, again and again.

At least once: a deliverer that dies has its lease run out, and another one takes over. Each name has a thread
of its own, so that a slow function holds up its own deliveries only.
"""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from tk_analytics_mw.attempts import MAX_ERROR, attempt
from tk_analytics_mw.errors import StorageUnavailable, SwitchOff
from tk_analytics_mw.hooks import DurableHook, Hooks
from tk_analytics_mw.storage.outbox import Outbox, Outcome
from tk_analytics_mw.waiting import Waits

logger: Final = logging.getLogger("tk_analytics_mw.delivery")

BATCH: Final = 100
"""Deliveries claimed at once, at most: two commits for a hundred of them."""

TURN: Final = 1.0
"""Seconds of calls that are claimed at once: what slow functions leave to other deliverers."""

LEASE: Final = 60.0
"""Seconds until the deliveries of a deliverer that died are taken over. A living one renews it."""

POLL: Final = 0.25
"""Seconds between two looks for something due: a query of some 20 µs that no writer waits for."""

SETTLE_EVERY: Final = 0.1
"""Seconds of calls after which their outcomes are written down: what a crash may repeat."""

SLICE: Final = 1_000
"""Settled deliveries removed at once: some 5 ms, for which writers wait."""

HOUSEKEEPING: Final = 60.0
"""Seconds between two looks for settled deliveries that need be kept no longer."""


class Deliverer:
    """Calls the durable hooks of one application.

    Args:
        hooks: which; those registered while it runs, too.
        outbox: of the storage.
        waits: how to call host code from a thread.
        keep: seconds that settled deliveries are kept to look at; dead ones are kept in any case.
        lease: see :data:`LEASE`.
        poll: see :data:`POLL`.
        clock: seconds since 1970. Leases and delays go by it.
    """

    def __init__(
        self,
        hooks: Hooks,
        outbox: Outbox,
        waits: Waits,
        *,
        keep: float,
        lease: float = LEASE,
        poll: float = POLL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.hooks = hooks
        self.outbox = outbox
        self.waits = waits
        self.keep = keep
        self.lease = lease
        self.poll = poll
        self.clock = clock
        self._runs: dict[int, _Run] = {}  # by process: a lock held during a fork stays held in the child

    def run(self, stop: threading.Event, *, once: bool = False) -> None:
        """Deliver until ``stop`` is set; a call that is under way is waited for.

        Args:
            stop: set by another thread, or a signal handler.
            once: return when nothing is due any more.
        """
        run = self._runs[os.getpid()] = _Run(self, stop, once)
        run.run()

    def wake(self) -> None:
        """Look now: something new is due."""
        run = self._runs.get(os.getpid())
        if run is not None:
            run.wake()


class _Run:
    """A deliverer at work in one process."""

    def __init__(self, deliverer: Deliverer, stop: threading.Event, once: bool) -> None:
        self._deliverer = deliverer
        self._hooks = deliverer.hooks
        self._outbox = deliverer.outbox
        self._stop = stop
        self._once = once
        self._ended = threading.Event()
        self._limits: dict[str, int] = {}  # by name, what fits into a turn
        self._held: dict[str, float] = {}  # by name, until when it is not to be called
        self._owners: set[str] = set()
        self._owners_lock = threading.Lock()
        self._news = threading.Condition()

    @property
    def _over(self) -> bool:
        return self._stop.is_set() or self._ended.is_set()

    def run(self) -> None:
        threads: dict[str, threading.Thread] = {}
        renewer = self._start("leases", self._renew)
        tidied = float("-inf")
        try:
            self._report_orphans()
            while not self._over:
                for name, hook in list(self._hooks.durable.items()):
                    if name not in threads:
                        threads[name] = self._start(name, self._serve, hook)
                if time.monotonic() - tidied > HOUSEKEEPING:
                    tidied = time.monotonic()
                    self._tidy()
                if self._once:
                    for thread in threads.values():
                        thread.join()
                    break
                self._stop.wait(self._deliverer.poll)
        finally:
            self._ended.set()
            self.wake()
            for thread in (*threads.values(), renewer):
                thread.join()

    def wake(self) -> None:
        with self._news:
            self._news.notify_all()

    def _start(self, name: str, function: Callable[..., None], *args: Any) -> threading.Thread:
        # A context of its own: the request that happens to start a deliverer is none of its business.
        run = contextvars.Context().run
        thread = threading.Thread(target=run, args=(function, *args), name=f"tk-analytics-{name}", daemon=True)
        thread.start()
        return thread

    def _report_orphans(self) -> None:
        try:
            counts = self._outbox.counts()
        except StorageUnavailable as error:
            logger.warning("%s", error)
            return
        for name, each in counts.items():
            if name not in self._hooks.durable and each.pending:
                logger.warning(
                    "%d deliveries wait for %r, and no durable hook has this name: they are kept. Is the module that "
                    "registers it imported? 'tk-analytics deliveries discard --name %s' gives them up.",
                    each.pending,
                    name,
                    name,
                )

    def _tidy(self) -> None:
        before = self._deliverer.clock() - self._deliverer.keep
        try:
            while self._outbox.forget(before=before, limit=SLICE) == SLICE and not self._over:
                pass
        except StorageUnavailable as error:
            logger.warning("settled deliveries could not be removed: %s", error)

    def _serve(self, hook: DurableHook) -> None:
        name = hook.subscription.name
        enrolled = False
        while not self._over:
            try:
                if not enrolled:
                    enrolled = not self._outbox.enroll(hook.subscription, now=self._deliverer.clock())
                held = self._held.get(name, 0.0) > self._deliverer.clock()
                found = enrolled and not held and self._deliver_batch(hook)
            except StorageUnavailable as error:
                logger.warning("deliveries for %r: %s", name, error)
                self._stop.wait(error.retry_after)
                continue
            except Exception:
                logger.exception("deliveries for %r", name)
                self._stop.wait(1.0)
                continue
            if enrolled and not found:
                if self._once:
                    return
                with self._news:
                    self._news.wait(self._deliverer.poll)

    def _deliver_batch(self, hook: DurableHook) -> bool:
        with self._holding() as owner:
            now = self._deliverer.clock()
            batch = self._outbox.claim(
                hook.subscription.name,
                owner=owner,
                limit=self._limits.get(hook.subscription.name, 1),
                now=now,
                until=now + self._deliverer.lease,
                ordered=hook.ordered,
            )
            done = 0
            outcomes: list[Outcome] = []
            started = settled = time.monotonic()
            off: SwitchOff | None = None
            try:
                for delivery in batch:
                    if self._over:
                        break
                    try:
                        outcome, hold = attempt(hook, delivery, self._deliverer.waits, self._deliverer.clock)
                    except SwitchOff as error:
                        off = error
                        break
                    done += 1
                    outcomes.append(outcome)
                    if hold:
                        self._held[hook.subscription.name] = self._deliverer.clock() + hold
                        break
                    if hook.ordered and outcome.state == "retrying":
                        break
                    if time.monotonic() - settled > SETTLE_EVERY:
                        self._outbox.settle(owner, outcomes, now=self._deliverer.clock())
                        outcomes, settled = [], time.monotonic()
            finally:
                if outcomes:
                    self._outbox.settle(owner, outcomes, now=self._deliverer.clock())
                if done < len(batch):
                    self._outbox.release(owner)
            if done:
                each = (time.monotonic() - started) / done
                self._limits[hook.subscription.name] = max(1, min(BATCH, int(TURN / each)))
            if off is not None:
                self._switch_off(hook.subscription.name, off)
            return bool(batch)

    @contextmanager
    def _holding(self) -> Iterator[str]:
        owner = uuid.uuid4().hex
        with self._owners_lock:
            self._owners.add(owner)
        try:
            yield owner
        finally:
            with self._owners_lock:
                self._owners.discard(owner)

    def _renew(self) -> None:
        lease = self._deliverer.lease
        while not self._ended.wait(lease / 3):
            with self._owners_lock:
                owners = list(self._owners)
            for owner in owners:
                try:
                    self._outbox.renew(owner, until=self._deliverer.clock() + lease)
                except StorageUnavailable as error:
                    logger.warning("a lease could not be renewed: %s", error)

    def _switch_off(self, name: str, error: SwitchOff) -> None:
        why = str(error)[:MAX_ERROR]
        logger.error("the subscription %r is switched off: %s", name, why)
        self._outbox.switch(name, off=why)
