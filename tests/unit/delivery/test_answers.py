"""What a durable function may say about its delivery: later, never again, not now, or anything that it raises."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.unit.delivery.conftest import Shop
from tk_analytics_mw import Discard, Event, Retry, SwitchOff
from tk_analytics_mw.storage.outbox import Delivery


def test_a_function_may_say_when_to_be_called_again(shop: Shop) -> None:
    def behave(event: Event, delivery: Delivery) -> None:
        if delivery.attempt == 1:
            raise Retry("the printer is out of paper", after=7200)

    shop.on(behave)
    shop.store("e-1")
    shop.deliver()
    [row] = shop.rows()
    assert (row.due_at, row.error) == (shop.now + 7200, "the printer is out of paper")
    shop.now += 7199
    shop.deliver()
    assert shop.calls == [("e-1", 1)]
    shop.now += 1
    shop.deliver()
    assert shop.states() == {"e-1": "delivered"}


@pytest.mark.parametrize(("after", "held"), [(20, 20), (7200, 300)])
def test_a_function_may_hold_up_all_of_its_deliveries_for_a_while(
    shop: Shop, after: float, held: float, eventually: Callable[..., None]
) -> None:
    def behave(event: Event, delivery: Delivery) -> None:
        if event.id == "e-1" and delivery.attempt == 1:
            raise Retry("the mail server is away", after=after, hold=True)

    heard: list[str] = []
    shop.on(behave)
    shop.analytics.on(durable=True, name="other")(lambda event, delivery: heard.append(event.id))
    shop.store("e-1", "e-2", "e-3")
    stop = threading.Event()
    thread = threading.Thread(target=shop.deliverer().run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: len(heard) == 3 and "retrying" in {row.state for row in shop.rows()})
        shop.now += held - 1
        shop.store("e-4")
        eventually(lambda: len(heard) == 4)
        assert shop.calls == [("e-1", 1)], "and no other hook was held up"
        shop.now += 1
        eventually(lambda: [each for each in shop.calls if each[0] != "e-1"] == [("e-2", 1), ("e-3", 1), ("e-4", 1)])
        shop.now += after
        eventually(lambda: ("e-1", 2) in shop.calls)
    finally:
        stop.set()
        thread.join()


def test_a_run_that_ends_does_not_wait_for_what_is_held_up(shop: Shop) -> None:
    def behave(event: Event, delivery: Delivery) -> None:
        raise Retry("the mail server is away", after=20, hold=True)

    shop.on(behave, max_attempts=1)
    shop.store("e-1", "e-2")
    shop.deliver()
    assert shop.calls == [("e-1", 1)]
    assert shop.states() == {"e-1": "dead", "e-2": "pending"}


def test_a_function_may_discard_a_delivery(shop: Shop) -> None:
    def behave(event: Event, delivery: Delivery) -> None:
        raise Discard("a test order")

    shop.on(behave)
    shop.store("e-1")
    shop.deliver_all()
    [row] = shop.rows()
    assert (row.state, row.error, shop.calls) == ("discarded", "a test order", [("e-1", 1)])


def test_a_function_may_switch_itself_off_and_nothing_is_lost(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    gone = True

    def behave(event: Event, delivery: Delivery) -> None:
        if gone:
            raise SwitchOff("410 Gone")

    shop.on(behave)
    shop.store("e-1", "e-2")
    shop.deliver_all()
    assert shop.calls == [("e-1", 1)]
    assert shop.storage.outbox.counts()["mail"].off == "410 Gone"
    assert "'mail' is switched off: 410 Gone" in caplog.text
    gone = False
    shop.storage.outbox.switch("mail", off=None)
    shop.deliver()
    assert shop.calls == [("e-1", 1), ("e-1", 1), ("e-2", 1)]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_a_function_raises_does_not_end_the_deliverer(shop: Shop, error: BaseException) -> None:
    def behave(event: Event, delivery: Delivery) -> None:
        if event.id == "e-1":
            raise error

    shop.on(behave)
    shop.store("e-1", "e-2")
    shop.deliver()
    assert shop.states() == {"e-1": "retrying", "e-2": "delivered"}
