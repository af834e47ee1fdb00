"""A storage that breaks the first rule, to see that the tests of that rule can fail."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from tk_analytics_mw import Event
from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.storage.base import Storage
from tk_analytics_mw.storage.sqlite import SqliteStorage

LAG = 0.05
"""Seconds from the acknowledgement to the write."""


class AcknowledgesEarly:
    """Keeps events in memory and lets a thread write them a moment later."""

    def __init__(self) -> None:
        self._storage = self._open()
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._writer: threading.Thread | None = None

    def _open(self) -> Storage:
        return SqliteStorage(os.environ["SHOP_DATABASE"])

    def write(self, events: Sequence[Event]) -> None:
        with self._lock:
            if self._writer is None:
                self._storage.write(events)  # the tables are there: only what comes now can be lost
                self._writer = threading.Thread(target=self._write_later, daemon=True)
                self._writer.start()
            else:
                self._events.extend(events)

    def _write_later(self) -> None:
        while True:
            time.sleep(LAG)
            with self._lock:
                events, self._events = self._events, []
            with suppress(StorageUnavailable):  # too late to tell anybody
                self._storage.write(events)

    def close(self) -> None:
        self._storage.close()


class AcknowledgesEarlyOnClickHouse(AcknowledgesEarly):
    """The same, with the events in the ClickHouse of ``SHOP_CLICKHOUSE``."""

    def _open(self) -> Storage:
        from tests.databases.clickhouse import storage_at

        return storage_at(os.environ["SHOP_CLICKHOUSE"])
