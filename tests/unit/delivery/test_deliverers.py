"""Deliverers at work: leases, several of them, stopping, a storage that is away, what is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.delivery.conftest import Shop
from tk_analytics_mw import Event
from tk_analytics_mw.storage.outbox import Delivery


def test_a_slow_function_holds_up_its_own_deliveries_only(shop: Shop) -> None:
    slow, quick = threading.Event(), threading.Event()
    shop.on(lambda event, delivery: slow.wait(60))

    @shop.analytics.on(durable=True, name="quick")
    def function(event: Event, delivery: Delivery) -> None:
        quick.set()

    shop.store("e-1")
    thread = threading.Thread(target=shop.deliver)
    thread.start()
    assert quick.wait(30)
    assert not slow.is_set()
    slow.set()
    thread.join()
    assert shop.storage.outbox.counts()["mail"].delivered == 1


def test_a_lease_is_renewed_while_a_long_function_runs(shop: Shop, eventually: Callable[..., None]) -> None:
    """Real time here: the lease of a second ends twice while the function runs."""
    shop.on(lambda event, delivery: time.sleep(2.2))
    shop.store("e-1")
    stop = threading.Event()
    several = [threading.Thread(target=shop.deliverer(lease=1.0, clock=time.time).run, args=(stop,)) for _ in range(3)]
    for thread in several:
        thread.start()
    eventually(lambda: shop.states() == {"e-1": "delivered"})
    stop.set()
    for thread in several:
        thread.join()
    assert shop.calls == [("e-1", 1)]


def test_what_one_deliverer_claims_is_what_it_can_do_soon(shop: Shop) -> None:
    """Of slow calls the others get their share, whoever comes first."""
    began, go_on = threading.Event(), threading.Event()

    def behave(event: Event, delivery: Delivery) -> None:
        if event.id == "e-0":
            time.sleep(0.6)
        else:
            began.set()
            go_on.wait(60)

    shop.on(behave)
    shop.store(*(f"e-{number}" for number in range(6)))
    stop = threading.Event()
    thread = threading.Thread(target=shop.deliverer().run, args=(stop,))
    thread.start()
    assert began.wait(30)
    assert sorted(shop.states().values()) == ["delivered", *["pending"] * 4, "running"]
    stop.set()
    go_on.set()
    thread.join()
    assert sorted(shop.states().values()) == ["delivered", "delivered", *["pending"] * 4]


def test_stopping_waits_for_the_call_that_is_under_way_and_gives_the_others_back(shop: Shop) -> None:
    began, go_on = threading.Event(), threading.Event()

    def behave(event: Event, delivery: Delivery) -> None:
        if event.id == "e-5":
            began.set()
            go_on.wait(60)

    shop.on(behave)
    shop.store(*(f"e-{number}" for number in range(10)))
    stop = threading.Event()
    thread = threading.Thread(target=shop.deliverer().run, args=(stop,))
    thread.start()
    assert began.wait(30)
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
