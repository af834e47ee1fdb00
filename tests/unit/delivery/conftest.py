"""A shop with a deliverer whose clock is a parameter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.making import an_event
from tk_analytics_mw import Analytics, Event, EventType
from tk_analytics_mw.delivery import Deliverer
from tk_analytics_mw.storage.outbox import Delivery, DeliveryQuery, DeliveryRow
from tk_analytics_mw.storage.sqlite import SqliteStorage

Calls = list[tuple[str, int]]


class Shop:
    """An Analytics with its deliverer, on a clock of its own."""

    def __init__(self, path: Path) -> None:
        self.now = 1_800_000_000.0
        self.storage = SqliteStorage(path)
        self.analytics = Analytics(storage=self.storage)
        self.calls: Calls = []

    def deliverer(self, **options: Any) -> Deliverer:
        parts = self.analytics.find_parts()
        settings = {"keep": 3600.0, "clock": lambda: self.now, "poll": 0.01, **options}
        return Deliverer(parts.hooks, self.storage.outbox, parts.blocking, **settings)

    def deliver(self) -> None:
        self.deliverer().run(threading.Event(), once=True)

    def deliver_all(self, hours: float = 100.0) -> None:
        """Deliver again and again while so many hours pass."""
        end = self.now + 3600 * hours
        while self.now < end:
            self.deliver()
            due = [row.due_at for row in self.rows() if row.state == "retrying" and row.due_at is not None]
            self.now = min([*due, end])

    def store(self, *ids: str) -> None:
        self.analytics.find_parts().writes.write([an_event(id_) for id_ in ids])

    def rows(self) -> list[DeliveryRow]:
        return self.storage.outbox.find(DeliveryQuery(), limit=1000)

    def states(self) -> dict[str, str]:
        return {row.event_id: row.state for row in self.rows()}

    def on(self, behave: Callable[[Event, Delivery], Any] = lambda event, delivery: None, **options: Any) -> None:
        @self.analytics.on(EventType.ORDERED, durable=True, **{"name": "mail", **options})
        def function(event: Event, delivery: Delivery) -> Any:
            self.calls.append((event.id, delivery.attempt))
            return behave(event, delivery)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "analytics.db")
    yield made
    made.analytics.close()
