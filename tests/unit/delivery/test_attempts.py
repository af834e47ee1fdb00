"""What becomes of deliveries when functions succeed and fail. The clock is a parameter."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from tests.unit.delivery.conftest import Shop
from tk_analytics_mw import Event, EventType
from tk_analytics_mw.storage.outbox import Delivery


def test_a_durable_function_gets_each_event_once_and_in_order(shop: Shop) -> None:
    shop.on()
    shop.store("e-3", "e-1", "e-2")
    shop.deliver()
    shop.deliver()
    assert shop.calls == [("e-3", 1), ("e-1", 1), ("e-2", 1)]
    assert {*shop.states().values()} == {"delivered"}


def test_recorded_events_are_delivered_to_plain_and_async_functions(shop: Shop) -> None:
    seen: list[Any] = []

    @shop.analytics.on("product ordered", durable=True, name="plain")
    def plain(event: Event, delivery: Delivery) -> None:
        seen.append((event, delivery))

    @shop.analytics.on(durable=True, name="async")
    async def further(event: Event, delivery: Delivery) -> None:
        seen.append((event, delivery))

    event = shop.analytics.record(EventType.ORDERED, org_id="acme", session_id="s", event_metadata={"a": [1.5]})
    before = time.time()
    shop.analytics.deliver(once=True)
    assert sorted(delivery.name for _, delivery in seen) == ["async", "plain"]
    for found, delivery in seen:
        assert found == delivery.event == event
        assert delivery.id == f"{delivery.name}:{event.id}"
        assert before - 1 < delivery.first_tried_at.timestamp() < time.time() + 1
    assert shop.analytics.outbox.counts()["plain"].delivered == 1


def test_a_failing_one_is_tried_again_with_growing_delays_and_then_given_up(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.on(lambda event, delivery: 1 / 0, max_attempts=4)
    shop.store("e-1")
    times = []
    shop.deliver()
    for _ in range(3):
        [row] = shop.rows()
        assert (row.state, row.error) == ("retrying", "ZeroDivisionError: division by zero")
        times.append(row.due_at - shop.now)
        shop.now = row.due_at
        shop.deliver()
    for waited, delay in zip(times, (5, 20, 80), strict=True):
        assert 0.75 * delay <= waited <= 1.25 * delay
    [row] = shop.rows()
    assert (row.state, row.attempts) == ("dead", 4)
    assert shop.calls == [("e-1", attempt) for attempt in (1, 2, 3, 4)]
    assert "delivery mail:e-1 is given up after 4 attempts" in caplog.text
    assert shop.storage.outbox.counts()["mail"].dead == 1


def test_ten_attempts_reach_over_a_night_and_jitter_keeps_them_apart(shop: Shop) -> None:
    shop.on(lambda event, delivery: 1 / 0)
    shop.store("e-1", "e-2")
    started = shop.now
    shop.deliver()
    assert len({row.due_at for row in shop.rows()}) == 2
    shop.deliver_all()
    assert [row.attempts for row in shop.rows()] == [10, 10]
    assert 20 * 3600 < max(row.settled_at or 0 for row in shop.rows()) - started < 45 * 3600


def test_a_poisoned_event_holds_up_no_other(shop: Shop) -> None:
    shop.on(lambda event, delivery: 1 / 0 if event.id == "e-2" else None)
    shop.store("e-1", "e-2", "e-3")
    shop.deliver()
    assert shop.states() == {"e-1": "delivered", "e-2": "retrying", "e-3": "delivered"}


def test_in_order_it_holds_up_the_later_ones_until_it_is_given_up(shop: Shop) -> None:
    shop.on(lambda event, delivery: 1 / 0 if event.id == "e-2" else None, ordered=True, max_attempts=3)
    shop.store("e-1", "e-2", "e-3")
    shop.deliver()
    assert shop.states() == {"e-1": "delivered", "e-2": "retrying", "e-3": "pending"}
    shop.store("e-4")
    shop.deliver_all()
    assert shop.calls == [("e-1", 1), ("e-2", 1), ("e-2", 2), ("e-2", 3), ("e-3", 1), ("e-4", 1)]
    assert shop.states()["e-2"] == "dead"


def test_failures_are_logged_with_the_deliverys_id(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.on(lambda event, delivery: 1 / 0)
    shop.store("e-1")
    shop.deliver()
    [record] = [each for each in caplog.records if each.name == "tk_analytics_mw.delivery"]
    assert record.levelno == logging.WARNING
    assert record.exc_info is not None
    assert "delivery mail:e-1 failed, attempt 1 of 10" in record.getMessage()
