"""What group commit writes to: events and their deliveries. For small sites, the thread that makes those as well."""

from __future__ import annotations

import atexit
import contextvars
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from tk_analytics_mw.delivery import Deliverer
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.hooks import Hooks
from tk_analytics_mw.storage.base import Storage
from tk_analytics_mw.storage.transactions import JoiningStorage

END: Final = 10.0
"""Seconds that the end of a process waits for a call that is under way. Servers kill after 30."""


class DeliveringStorage:
    """What group commit writes to: the storage, and beside each event its deliveries.

    Args:
        storage: of the application.
        hooks: whose durable ones want deliveries.
        deliverer: to run in a thread of each process that writes; ``None`` if deliverers are other processes.
    """

    def __init__(self, storage: Storage, hooks: Hooks, deliverer: Deliverer | None) -> None:
        self._storage = storage
        self._hooks = hooks
        self._deliverer = deliverer
        self._running: dict[int, _Running] = {}  # by process: a thread does not survive a fork

    def write(self, events: Sequence[Event]) -> Sequence[Event] | None:
        """See :meth:`Storage.write <tk_analytics_mw.storage.base.Storage.write>`."""
        due = self._hooks.subscriptions
        if not due:
            return self._storage.write(events)
        write: Any = self._storage.write  # of a DurableStorage: the registry saw to that
        stored: Sequence[Event] | None = write(events, due)
        if self._deliverer is not None:
            self._start(self._deliverer)
        return stored

    def write_within(
        self, transaction: Any, events: Sequence[Event], *, then: Callable[[], None]
    ) -> Sequence[Event] | None:
        """See :class:`~tk_analytics_mw.storage.transactions.JoiningStorage`."""
        if not isinstance(self._storage, JoiningStorage):
            raise ConfigurationError(
                f"record(using=…) needs a storage in the host's own database, of Django or SQLAlchemy: a "
                f"{type(self._storage).__name__} writes in transactions of its own"
            )
        due = self._hooks.subscriptions

        def committed() -> None:
            if due and self._deliverer is not None:
                self._start(self._deliverer)
            then()

        return self._storage.write_within(transaction, events, due, then=committed)

    def close(self) -> None:
        """Let the deliverer of this process end, and let go of the storage."""
        running = self._running.pop(os.getpid(), None)
        if running is not None:
            running.end()
        self._storage.close()

    def _start(self, deliverer: Deliverer) -> None:
        pid = os.getpid()
        if pid not in self._running:
            running = _Running(deliverer)
            if self._running.setdefault(pid, running) is running:
                running.start()
        deliverer.wake()


class _Running:
    """A deliverer in a thread of this process. It ends before the interpreter does."""

    def __init__(self, deliverer: Deliverer) -> None:
        self._pid = os.getpid()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=contextvars.Context().run,
            args=(deliverer.run, self._stop),
            name="tk-analytics-deliverer",
            daemon=True,
        )

    def start(self) -> None:
        atexit.register(self.end)
        self._thread.start()

    def end(self) -> None:
        if self._pid != os.getpid():
            return  # a child that was forked runs its parent's exit functions, too
        atexit.unregister(self.end)
        self._stop.set()
        self._thread.join(END)
