"""What is done beside the writing of events, a little at a time, by whoever writes them: no thread stands ready for it.

A chore is called when events have been stored, in the thread that stored them. It does little and not often, and
what it raises is logged: the events are stored, come what may.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from tk_analytics_mw.deliver_in_process import DeliveringStorage
from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.erasure import Erasure

logger: Final = logging.getLogger("tk_analytics_mw.upkeep")

LOOK_EVERY: Final = 60.0
"""Seconds between two looks for events that are too old, while there are none."""

SLICE_SECONDS: Final = 0.005
"""That one slice of a purge is to take: its size follows from what the last one took."""

SHARE: Final = 0.1
"""Of a process's time that a purge takes at the most. Slices of 5 ms every 50 ms: few commits wait for one."""

MOST: Final = 1_000
FEWEST: Final = 50
"""Events of a slice."""

Chore = Callable[[], None]


class KeptStorage:
    """The storage, and the chores that are done after each write.

    Args:
        storage: what is written to.
        chores: see above.
    """

    def __init__(self, storage: DeliveringStorage, chores: Sequence[Chore]) -> None:
        self._storage = storage
        self._chores = chores

    def write(self, events: Sequence[Event]) -> Sequence[Event] | None:
        """See :meth:`Storage.write <tk_analytics_mw.storage.base.Storage.write>`."""
        stored = self._storage.write(events)
        for chore in self._chores:
            try:
                chore()
            except StorageUnavailable as error:
                logger.warning("upkeep waits: %s", error)
            except Exception:
                logger.exception("upkeep failed")
        return stored

    def write_within(
        self, transaction: Any, events: Sequence[Event], *, then: Callable[[], None]
    ) -> Sequence[Event] | None:
        """See :class:`~tk_analytics_mw.storage.transactions.JoiningStorage`. No chore holds up the host."""
        return self._storage.write_within(transaction, events, then=then)

    def close(self) -> None:
        """See :meth:`Storage.close <tk_analytics_mw.storage.base.Storage.close>`."""
        self._storage.close()


class Retention:
    """A chore: remove the events that are older than so many days.

    Args:
        erasure: of the storage.
        days: that events are kept.
        clock: seconds, monotonic.
    """

    def __init__(self, erasure: Erasure, days: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._erasure = erasure
        self._days = timedelta(days=days)
        self._clock = clock
        self._limit = FEWEST
        self._due = 0.0
        self._busy: dict[int, threading.Lock] = {}  # by process: one that is held during a fork stays held in the child

    def __call__(self) -> None:
        """Remove a slice, if it is time for one."""
        began = self._clock()
        busy = self._busy.get(os.getpid()) or self._busy.setdefault(os.getpid(), threading.Lock())
        if began < self._due or not busy.acquire(blocking=False):
            return
        try:
            self._due = began + LOOK_EVERY  # should it fail
            erased = self._erasure.purge(datetime.now(timezone.utc) - self._days, self._limit).events
            took = max(self._clock() - began, 1e-6)
            if erased:
                self._due = began + took / SHARE
                self._limit = max(FEWEST, min(MOST, int(self._limit * min(2.0, SLICE_SECONDS / took))))
        finally:
            busy.release()
