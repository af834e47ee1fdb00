"""What group commit writes to: events and their deliveries. For small sites, the thread that makes those as well."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

from tk_analytics_mw.delivery import Deliverer
from tk_analytics_mw.events import Event
from tk_analytics_mw.hooks import Hooks
from tk_analytics_mw.storage.base import Storage


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
        self._threads: dict[int, threading.Thread] = {}  # by process: a thread does not survive a fork
        self._starting = threading.Lock()

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

    def close(self) -> None:
        """See :meth:`Storage.close <tk_analytics_mw.storage.base.Storage.close>`."""
        self._storage.close()

    def _start(self, deliverer: Deliverer) -> None:
        pid = os.getpid()
        if pid not in self._threads:
            with self._starting:
                if pid not in self._threads:
                    thread = threading.Thread(
                        target=deliverer.run, args=(threading.Event(),), name="tk-analytics-deliverer", daemon=True
                    )
                    self._threads[pid] = thread
                    thread.start()
        deliverer.wake()
