"""Calling durable hooks: claim what is due, call the function, write down what became of it, again and again.

At least once: a deliverer that dies has its lease run out, and another one takes over. Each name has a thread
of its own, so that a slow function holds up its own deliveries only.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tk_analytics_mw.errors import Discard, Retry, StorageUnavailable, SwitchOff
from tk_analytics_mw.hooks import DurableHook, Hooks
from tk_analytics_mw.storage.outbox import Delivery, Outbox, Outcome
from tk_analytics_mw.waiting import Waits, run_blocking

logger: Final = logging.getLogger("tk_analytics_mw.delivery")

BATCH: Final = 100
"""Deliveries claimed at once: two commits for a hundred of them."""

LEASE: Final = 60.0
"""Seconds until the deliveries of a deliverer that died are taken over. A living one renews it."""

POLL: Final = 0.25
"""Seconds between two looks for something due: a query of some 20 µs that no writer waits for."""

SETTLE_EVERY: Final = 0.1
"""Seconds of calls after which their outcomes are written down: what a crash may repeat."""

HOUSEKEEPING: Final = 60.0
"""Seconds between two looks for settled deliveries that need be kept no longer."""

MAX_ERROR: Final = 500
"""Characters kept of what a function raised."""


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
        self._hooks = hooks
        self._outbox = outbox
        self._waits = waits
        self._keep = keep
        self._lease = lease
        self._poll = poll
        self._clock = clock
        self._owners: set[str] = set()
        self._owners_lock = threading.Lock()
        self._news = threading.Condition()

    def run(self, stop: threading.Event, *, once: bool = False) -> None:
        """Deliver until ``stop`` is set; a call that is under way is waited for.

        Args:
            stop: set by another thread, or a signal handler.
            once: return when nothing is due any more.
        """
        self._report_orphans()
        threads: dict[str, threading.Thread] = {}
        finished = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(finished,), name="tk-analytics-leases", daemon=True)
        renewer.start()
        tidied = float("-inf")
        try:
            while True:
                for name, hook in list(self._hooks.durable.items()):
                    thread = threads.get(name)
                    if thread is None or (not thread.is_alive() and not once):
                        threads[name] = threading.Thread(
                            target=self._serve, args=(hook, stop, once), name=f"tk-analytics-{name}", daemon=True
                        )
                        threads[name].start()
                if time.monotonic() - tidied > HOUSEKEEPING:
                    tidied = time.monotonic()
                    self._tidy()
                if stop.wait(self._poll) or (once and not any(thread.is_alive() for thread in threads.values())):
                    break
        finally:
            self.wake()
            for thread in threads.values():
                thread.join()
            finished.set()
            renewer.join()

    def wake(self) -> None:
        """Look now: something new is due."""
        with self._news:
            self._news.notify_all()

    def _report_orphans(self) -> None:
        for name, counts in self._outbox.counts().items():
            if name not in self._hooks.durable and counts.pending:
                logger.warning(
                    "%d deliveries wait for %r, and no durable hook has this name: they are kept. Is the module that "
                    "registers it imported? 'tk-analytics deliveries discard --name %s' gives them up.",
                    counts.pending,
                    name,
                    name,
                )

    def _tidy(self) -> None:
        try:
            while self._outbox.forget(before=self._clock() - self._keep, limit=1_000) == 1_000:  # a slice: 5 ms
                pass
        except StorageUnavailable as error:
            logger.warning("settled deliveries could not be removed: %s", error)

    def _serve(self, hook: DurableHook, stop: threading.Event, once: bool) -> None:
        name = hook.subscription.name
        enrolled = False
        while not stop.is_set():
            try:
                while not enrolled and not stop.is_set():
                    enrolled = not self._outbox.enroll(hook.subscription, now=self._clock())
                found = self._deliver_batch(hook, stop)
            except StorageUnavailable as error:
                logger.warning("deliveries for %r: %s", name, error)
                stop.wait(error.retry_after)
                continue
            if not found:
                if once:
                    return
                with self._news:
                    self._news.wait(self._poll)

    def _deliver_batch(self, hook: DurableHook, stop: threading.Event) -> bool:
        with self._holding() as owner:
            now = self._clock()
            batch = self._outbox.claim(
                hook.subscription.name,
                owner=owner,
                limit=BATCH,
                now=now,
                until=now + self._lease,
                ordered=hook.ordered,
            )
            done = 0
            outcomes: list[Outcome] = []
            settled = time.monotonic()
            off: SwitchOff | None = None
            try:
                for delivery in batch:
                    if stop.is_set():
                        break
                    try:
                        outcomes.append(self._attempt(hook, delivery))
                    except SwitchOff as error:
                        off = error
                        break
                    done += 1
                    if hook.ordered and outcomes[-1].state == "retrying":
                        break
                    if time.monotonic() - settled > SETTLE_EVERY:
                        self._outbox.settle(owner, outcomes, now=self._clock())
                        outcomes, settled = [], time.monotonic()
            finally:
                if outcomes:
                    self._outbox.settle(owner, outcomes, now=self._clock())
                if done < len(batch):
                    self._outbox.release(owner)
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

    def _renew(self, finished: threading.Event) -> None:
        while not finished.wait(self._lease / 3):
            with self._owners_lock:
                owners = list(self._owners)
            for owner in owners:
                try:
                    self._outbox.renew(owner, until=self._clock() + self._lease)
                except StorageUnavailable as error:
                    logger.warning("a lease could not be renewed: %s", error)

    def _attempt(self, hook: DurableHook, delivery: Delivery) -> Outcome:
        if delivery.attempt > hook.max_attempts:
            return self._dead(delivery, "the deliverer died during each of the attempts")
        try:
            run_blocking(self._waits.call(hook.function, delivery.event, delivery))
        except SwitchOff:
            raise
        except Discard as error:
            return Outcome(delivery, "discarded", str(error))
        except BaseException as error:  # noqa: BLE001 - of host code, in a thread of its own: sys.exit() included
            return self._failed(hook, delivery, error)
        return Outcome(delivery, "delivered")

    def _failed(self, hook: DurableHook, delivery: Delivery, error: BaseException) -> Outcome:
        said = (str(error) if isinstance(error, Retry) else f"{type(error).__name__}: {error}")[:MAX_ERROR]
        if delivery.attempt >= hook.max_attempts:
            return self._dead(delivery, said)
        after = error.after if isinstance(error, Retry) else None
        if after is None:
            after = hook.backoff(delivery.attempt) * random.uniform(0.75, 1.25)  # noqa: S311
        log = logger.info if isinstance(error, Retry) else logger.warning
        log(
            "delivery %s failed, attempt %d of %d; again in %.0f s: %s",
            delivery.id,
            delivery.attempt,
            hook.max_attempts,
            after,
            said,
            exc_info=None if isinstance(error, Retry) else error,
        )
        return Outcome(delivery, "retrying", said, due_at=self._clock() + max(after, 0.0))

    def _dead(self, delivery: Delivery, why: str) -> Outcome:
        logger.error("delivery %s is given up after %d attempts: %s", delivery.id, delivery.attempt, why)
        return Outcome(delivery, "dead", why)

    def _switch_off(self, name: str, error: SwitchOff) -> None:
        why = str(error)[:MAX_ERROR]
        logger.error("the subscription %r is switched off: %s", name, why)
        self._outbox.switch(name, off=why)
