"""What an application records while a test runs."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.event_types import EventType
from tk_analytics_mw.events import Event
from tk_analytics_mw.parts import Parts, kept_in
from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.storage.outbox import DeliveryQuery, DeliveryRow

if TYPE_CHECKING:
    from tk_analytics_mw.analytics import Analytics

MOST: Final = 1_000_000
"""Deliveries that :meth:`AnalyticsRecorder.deliver` tells of."""


class AnalyticsRecorder:
    """Takes the place of an application's storage for a test: events go into memory, with all that belongs to it.

    Everything else is the application's own: its tokens, its settings, its hooks. Its database is not opened.
    As a fixture of pytest, or with ``enterContext`` of :mod:`unittest`::

        @pytest.fixture
        def recorder():
            with AnalyticsRecorder(analytics) as recorder:
                yield recorder

    Of several Flask applications that share one ``Analytics`` it is the one in whose ``app.app_context()`` the
    recorder begins.

    Args:
        analytics: of the application; of Django ``tk_analytics_mw.django.analytics``.
    """

    def __init__(self, analytics: Analytics) -> None:
        self._analytics = analytics
        self._storage = MemoryStorage()
        self._parts: Parts | None = None
        self._stack = ExitStack()

    def __enter__(self) -> AnalyticsRecorder:
        self._parts = self._analytics.find_parts()
        self._stack.enter_context(kept_in(self._storage, self._parts))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def events(self) -> list[Event]:
        """Everything that was recorded, in order."""
        return self._storage.events

    def of(self, event_type: str | EventType) -> list[Event]:
        """The events of a type, in any spelling.

        Raises:
            ConfigurationError: the application has no such event type.
        """
        canonical = self._entered().event_types.require(str(event_type))
        return [event for event in self.events if event.event_type == canonical]

    def deliver(self) -> list[DeliveryRow]:
        """Call the durable hooks and webhooks for what is due, now and in threads of this process.

        Returns:
            All deliveries as they stand now, the oldest event first. One whose function raised has ``state``
            ``"retrying"`` and says why in ``error``; the next call makes its next attempt when it is due.
        """
        deliverer = self._entered().deliverer
        assert deliverer is not None  # in memory there is one
        deliverer.run(threading.Event(), once=True)
        return self._storage.outbox.find(DeliveryQuery(), limit=MOST)[::-1]

    def _entered(self) -> Parts:
        if self._parts is None:
            raise ConfigurationError("the recorder has not begun: with AnalyticsRecorder(analytics) as recorder")
        return self._parts
