"""What every shop here does durably with an order, and notes in its own way."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from tk_analytics_mw import Analytics, Delivery, Event, Retry


def register(
    analytics: Analytics, note: Callable[[str], object], note_async: Callable[[str], Awaitable[object]]
) -> None:
    """Register a plain function and an async one."""

    @analytics.on("product ordered", durable=True, name="plain")
    def plain(event: Event, delivery: Delivery) -> None:
        if event.session_id == "slow":
            note("begun")
            time.sleep(1.0)
        if event.session_id == "fail":
            raise Retry("the mail server is away", after=3600)
        note(f"plain {event.id}")

    @analytics.on("product ordered", durable=True, name="async")
    async def async_(event: Event, delivery: Delivery) -> None:
        await note_async(f"async {event.id}")
