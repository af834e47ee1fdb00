"""The deliverer: what becomes of deliveries when functions succeed, fail or ask for time. The clock is a parameter."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.making import ROOT, an_event
from tk_analytics_mw import Analytics, Discard, Event, EventType, Retry, SwitchOff
from tk_analytics_mw.delivery import Deliverer
from tk_analytics_mw.errors import ConfigurationError
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
        eventually(lambda: len(heard) == 3)
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


def test_a_slow_function_holds_up_its_own_deliveries_only(shop: Shop) -> None:
    slow, quick = threading.Event(), threading.Event()
    shop.on(lambda event, delivery: slow.wait(10))

    @shop.analytics.on(durable=True, name="quick")
    def function(event: Event, delivery: Delivery) -> None:
        quick.set()

    shop.store("e-1")
    thread = threading.Thread(target=shop.deliver)
    thread.start()
    assert quick.wait(5)
    assert not slow.is_set()
    slow.set()
    thread.join()
    assert shop.storage.outbox.counts()["mail"].delivered == 1


def test_a_lease_is_renewed_while_a_long_function_runs(shop: Shop) -> None:
    """Real time here: the lease of 0.3 s ends twice while the function runs."""
    shop.on(lambda event, delivery: time.sleep(0.9))
    shop.store("e-1")
    stop = threading.Event()
    several = [threading.Thread(target=shop.deliverer(lease=0.3, clock=time.time).run, args=(stop,)) for _ in range(3)]
    for thread in several:
        thread.start()
    time.sleep(1.5)
    stop.set()
    for thread in several:
        thread.join()
    assert shop.calls == [("e-1", 1)]
    assert shop.states() == {"e-1": "delivered"}


def test_what_one_deliverer_claims_is_what_it_can_do_soon(shop: Shop) -> None:
    """Of slow calls the others get their share, whoever comes first."""
    shop.on(lambda event, delivery: time.sleep(0.6))
    shop.store(*(f"e-{number}" for number in range(6)))
    stop = threading.Event()
    thread = threading.Thread(target=shop.deliverer().run, args=(stop,))
    thread.start()
    time.sleep(0.9)
    assert sorted(shop.states().values()) == ["delivered", *["pending"] * 4, "running"]
    stop.set()
    thread.join()
    assert sorted(shop.states().values()) == ["delivered", "delivered", *["pending"] * 4]


def test_stopping_waits_for_the_call_that_is_under_way_and_gives_the_others_back(shop: Shop) -> None:
    began, go_on = threading.Event(), threading.Event()

    def behave(event: Event, delivery: Delivery) -> None:
        if event.id == "e-5":
            began.set()
            go_on.wait(10)

    shop.on(behave)
    shop.store(*(f"e-{number}" for number in range(10)))
    stop = threading.Event()
    thread = threading.Thread(target=shop.deliverer().run, args=(stop,))
    thread.start()
    assert began.wait(5)
    stop.set()
    thread.join(0.05)
    assert thread.is_alive()
    go_on.set()
    thread.join()
    assert shop.states() == {f"e-{n}": "delivered" if n <= 5 else "pending" for n in range(10)}


def test_a_function_registered_while_it_runs_is_served_too(shop: Shop, eventually: Callable[..., None]) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=shop.deliverer().run, args=(stop,))
    thread.start()
    shop.on()
    shop.store("e-1")
    eventually(lambda: shop.calls)
    stop.set()
    thread.join()


def test_a_name_that_has_deliveries_and_no_function_is_reported_and_kept(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop.on(name="confirmation-mail")
    shop.store("e-1")
    without = Shop(tmp_path / "analytics.db")
    without.deliver()
    assert "1 deliveries wait for 'confirmation-mail', and no durable hook has this name" in caplog.text
    assert without.states() == {"e-1": "pending"}
    without.analytics.close()


def test_a_later_function_may_want_the_past(shop: Shop) -> None:
    shop.store(*(f"e-{number:04}" for number in range(1500)))
    shop.on(since="all")
    shop.store("f-1")
    shop.deliver()
    assert [id_ for id_, _ in shop.calls] == [*(f"e-{number:04}" for number in range(1500)), "f-1"]


def test_settled_deliveries_are_kept_for_a_while(shop: Shop) -> None:
    shop.on()
    shop.store("e-1")
    shop.deliver()
    shop.now += 3600
    shop.deliver()
    assert shop.states() == {"e-1": "delivered"}
    shop.now += 1
    shop.deliver()
    assert shop.states() == {}
    assert shop.storage.outbox.counts()["mail"].delivered == 1


def test_a_storage_that_is_away_for_a_while_is_waited_for(
    shop: Shop, tmp_path: Path, eventually: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    shop.on()
    database, aside = tmp_path / "analytics.db", tmp_path / "aside.db"
    shop.store("e-1")
    shop.analytics.close()
    database.rename(aside)
    database.write_bytes(b"no database" * 1000)
    stop = threading.Event()
    thread = threading.Thread(target=shop.deliverer().run, args=(stop,))
    thread.start()
    eventually(lambda: "not a database" in caplog.text)
    aside.replace(database)
    eventually(lambda: shop.calls)
    stop.set()
    thread.join()
    assert shop.calls == [("e-1", 1)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs a name"),
        ({"name": ""}, "needs a name"),
        ({"name": "two words"}, "needs a name"),
        ({"name": "mail", "when": "inline"}, "leave when="),
        ({"name": "mail", "since": "yesterday"}, "since is"),
        ({"name": "mail", "max_attempts": 0}, "max_attempts"),
        ({"name": "mail", "retries": 3}, "no option 'retries'"),
        ({"name": "mail", "durable": False}, "durable=True"),
        ({"durable": False, "ordered": True}, "durable=True"),
    ],
)
def test_options_that_make_no_sense_stop_the_start(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Analytics().on("product ordered", **{"durable": True, **options})(lambda event, delivery: None)


def test_a_function_that_does_not_take_the_delivery_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"\(event, delivery\)"):
        Analytics().on(durable=True, name="mail")(lambda event: None)


def test_a_name_stands_for_one_function() -> None:
    analytics = Analytics()
    analytics.on(durable=True, name="mail")(lambda event, delivery: None)
    with pytest.raises(ConfigurationError, match="'mail' already"):
        analytics.on(durable=True, name="mail")(lambda event, delivery: None)


def test_an_unknown_event_type_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="no event type"):
        Analytics().on("product sold", durable=True, name="mail")(lambda event, delivery: None)


class NoOutbox:
    """A storage that only stores."""

    def write(self, events: Any) -> None: ...
    def close(self) -> None: ...


def test_a_storage_without_an_outbox_refuses_durable_hooks_whichever_comes_first() -> None:
    with pytest.raises(ConfigurationError, match=r"'mail' needs a storage with an outbox.*NoOutbox has none"):
        Analytics(storage=NoOutbox()).on(durable=True, name="mail")(lambda event, delivery: None)
    shared = Analytics()
    shared.on(durable=True, name="mail")(lambda event, delivery: None)
    with pytest.raises(ConfigurationError, match="NoOutbox has none"):
        shared.make_parts({"storage": NoOutbox()})
    with pytest.raises(ConfigurationError, match="no outbox"):
        Analytics(storage=NoOutbox()).deliver(once=True)
    with pytest.raises(ConfigurationError, match="no outbox"):
        Analytics(storage=NoOutbox()).outbox  # noqa: B018


def test_a_small_site_delivers_in_the_process_that_stores(tmp_path: Path, eventually: Callable[..., None]) -> None:
    analytics = Analytics(storage=f"sqlite:///{tmp_path}/analytics.db", deliver_in_process=True)
    calls = []

    @analytics.on(durable=True, name="mail")
    def function(event: Event, delivery: Delivery) -> None:
        calls.append(event.id)

    before = threading.active_count()
    event = analytics.record(EventType.ORDERED, org_id="acme", session_id="s")
    eventually(lambda: calls)
    assert calls == [event.id]
    analytics.close()
    assert threading.active_count() == before, "closing ends its threads"
    further = analytics.record(EventType.ORDERED, org_id="acme", session_id="s")
    eventually(lambda: len(calls) == 2)
    assert calls[1] == further.id
    analytics.close()


def test_a_process_that_ends_lets_the_call_under_way_end_first(tmp_path: Path) -> None:
    script = f"""
import threading, time
from tk_analytics_mw import Analytics, EventType
analytics = Analytics(storage="sqlite:///{tmp_path}/analytics.db", deliver_in_process=True)
began = threading.Event()

@analytics.on(durable=True, name="mail")
def function(event, delivery):
    print("began", flush=True)
    began.set()
    time.sleep(0.3)
    print("ended", flush=True)

analytics.record(EventType.ORDERED, org_id="acme", session_id="s")
began.wait()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "began\nended\n"
    assert "Error" not in done.stderr
    storage = SqliteStorage(tmp_path / "analytics.db")
    assert [row.state for row in storage.outbox.find(DeliveryQuery(), limit=5)] == ["delivered"]
    storage.close()


def test_failures_are_logged_with_the_deliverys_id(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.on(lambda event, delivery: 1 / 0)
    shop.store("e-1")
    shop.deliver()
    [record] = [each for each in caplog.records if each.name == "tk_analytics_mw.delivery"]
    assert record.levelno == logging.WARNING
    assert record.exc_info is not None
    assert "delivery mail:e-1 failed, attempt 1 of 10" in record.getMessage()
