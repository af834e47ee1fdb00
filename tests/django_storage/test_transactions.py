"""``record(using=…)``: an order and its event in one transaction, through views of a real project."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections, transaction
from django.test import Client

from tests.django_storage.conftest import of_vendor
from tests.django_storage.databases import ALIAS
from tests.django_storage.shop_urls import ORDER, ShopError, orders
from tests.hosts.base import default_options
from tests.hosts.django_faces import OURS, USUAL, DjangoSite
from tk_analytics_mw import Analytics, ConfigurationError, Event, StorageUnavailable
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.testing import an_event

MakeShop = Callable[..., Analytics]


@pytest.fixture
def make_shop(events_database: str) -> Iterator[MakeShop]:
    """A project with its orders and its events in the database at hand."""
    sites: list[DjangoSite] = []
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS shop_order (number VARCHAR(20))")
        cursor.execute("DELETE FROM shop_order")

    def make(register: Callable[[Analytics], None] = lambda analytics: None, *, atomic: bool = False) -> Analytics:
        options = {**default_options(), "storage": f"django://{ALIAS}"}
        connections.settings[ALIAS]["ATOMIC_REQUESTS"] = atomic
        middleware = [OURS, *USUAL]
        sites.append(
            DjangoSite(options, register, MIDDLEWARE=middleware, ROOT_URLCONF="tests.django_storage.shop_urls")
        )
        return sites[-1].analytics

    yield make
    connections.settings[ALIAS]["ATOMIC_REQUESTS"] = False
    for site in sites:
        site.close()


@pytest.fixture
def shop(make_shop: MakeShop) -> Analytics:
    return make_shop()


def reader(analytics: Analytics) -> Any:
    storage: Any = analytics.find_parts().storage
    return storage.reader


def assets(analytics: Analytics) -> list[str | None]:
    """Of all events, in the order of commits."""
    found = reader(analytics)
    return [row[7] for row in found.rows(Filter("acme"), after=0, until=found.last_position()).rows]


def test_an_order_and_its_event_come_together_and_hooks_run_after_the_commit(make_shop: MakeShop) -> None:
    seen: list[tuple[str, str | None, bool, list[str | None]]] = []
    made: list[Analytics] = []

    def register(analytics: Analytics) -> None:
        def look(kind: str) -> Callable[[Event], None]:
            return lambda event: seen.append(
                (kind, event.asset_id, connections[ALIAS].in_atomic_block, assets(made[0]))
            )

        analytics.on("product ordered", when="inline")(look("inline"))
        analytics.on("product ordered")(look("after"))
        analytics.on("product ordered", durable=True, name="mail")(lambda event, delivery: look("durable")(event))

    shop = make_shop(register)
    made.append(shop)
    assert Client().get("/order/o-1").status_code == 200
    assert orders() == ["o-1"]
    assert seen == [("inline", "o-1", False, ["o-1"]), ("after", "o-1", False, ["o-1"])]
    shop.deliver(once=True)
    assert seen[2:] == [("durable", "o-1", False, ["o-1"])]


def test_what_is_rolled_back_leaves_neither_and_calls_nobody(make_shop: MakeShop) -> None:
    seen: list[Event] = []

    def register(analytics: Analytics) -> None:
        analytics.on()(seen.append)
        analytics.on(durable=True, name="mail")(lambda event, delivery: seen.append(event))

    shop = make_shop(register)
    with pytest.raises(ShopError):
        Client().get("/order/o-1?fail")
    shop.deliver(once=True)
    assert (orders(), assets(shop), seen) == ([], [], [])


def test_a_savepoint_that_is_rolled_back_takes_its_event_along(make_shop: MakeShop) -> None:
    seen: list[str | None] = []
    shop = make_shop(lambda analytics: analytics.on()(lambda event: seen.append(event.asset_id)) and None)
    Client().get("/orders")
    assert (orders(), assets(shop), seen) == (["a", "c"], ["a", "c"], ["a", "c"])


def test_with_atomic_requests_the_event_goes_with_the_request(make_shop: MakeShop) -> None:
    shop = make_shop(atomic=True)
    with pytest.raises(ShopError):
        Client().get("/order-in-request/o-1?using&fail")
    assert Client().get("/order-in-request/o-2?using").status_code == 200
    assert (orders(), assets(shop)) == (["o-2"], ["o-2"])


@of_vendor("postgresql")
def test_an_event_that_is_acknowledged_does_not_go_with_the_transaction_of_a_request(make_shop: MakeShop) -> None:
    shop = make_shop(atomic=True)
    with pytest.raises(ShopError):
        Client().get("/order-in-request/o-1?fail")
    assert (orders(), assets(shop)) == ([], ["o-1"]), "record() has returned: it is durable"


@of_vendor("sqlite")
def test_where_only_one_can_write_it_says_at_once_what_to_do(make_shop: MakeShop) -> None:
    make_shop(atomic=True)
    began = time.monotonic()
    with pytest.raises(StorageUnavailable, match=f"using='{ALIAS}'"):
        Client().get("/order-in-request/o-1")
    assert time.monotonic() - began < 2, "nobody waits for a lock of its own"


def test_a_transaction_is_needed_and_it_is_one_of_this_database(shop: Analytics) -> None:
    with pytest.raises(ConfigurationError, match=r"with transaction\.atomic"):
        shop.record("product ordered", using=ALIAS, **ORDER)
    with transaction.atomic(), pytest.raises(ConfigurationError, match=ALIAS):
        shop.record("product ordered", using="default", **ORDER)
    for other in (connections[ALIAS], object(), True):
        with transaction.atomic(using=ALIAS), pytest.raises(ConfigurationError, match=ALIAS):
            shop.record("product ordered", using=other, **ORDER)
    assert assets(shop) == []


def test_a_key_that_is_held_gives_the_first_event_and_calls_nobody_again(make_shop: MakeShop) -> None:
    seen: list[str] = []
    shop = make_shop(lambda analytics: analytics.on()(lambda event: seen.append(event.id)) and None)
    with transaction.atomic(using=ALIAS):
        first = shop.record("product ordered", using=ALIAS, idempotency_key="k", **ORDER)
        again = shop.record("product ordered", using=ALIAS, idempotency_key="k", metric=5, **ORDER)
    assert again == first
    with transaction.atomic(using=ALIAS):
        assert shop.record("product ordered", using=ALIAS, idempotency_key="k", **ORDER) == first
    assert (seen, len(assets(shop))) == ([first.id], 1)


@of_vendor("postgresql")
def test_a_transaction_that_stays_open_holds_up_nobody(shop: Analytics) -> None:
    with transaction.atomic(using=ALIAS):
        shop.record("product ordered", using=ALIAS, asset_id="open", **ORDER)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(shop.record, "product ordered", asset_id="own", **ORDER).result(3)
        assert assets(shop) == ["own"]
    assert assets(shop) == ["own", "open"], "the order is that of commits"


def test_a_process_that_dies_behind_the_commit_leaves_nothing_undone(make_shop: MakeShop) -> None:
    seen: list[str | None] = []
    shop = make_shop(
        lambda analytics: analytics.on(durable=True, name="mail")(lambda event, _: seen.append(event.asset_id)) and None
    )
    connections[ALIAS].close()
    child = os.fork()
    if child == 0:
        with transaction.atomic(using=ALIAS):
            transaction.on_commit(lambda: os._exit(0), using=ALIAS)  # comes before ours
            shop.record("product ordered", using=ALIAS, asset_id="o-1", **ORDER)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    storage: Any = shop.find_parts().storage
    storage.write([an_event(1, asset_id="later")])
    shop.deliver(once=True)
    assert seen == ["o-1"]
    assert assets(shop) == ["later", "o-1"]
    assert [event.asset_id for event in reader(shop).events(Filter("acme"), "newest", limit=9).events]


@of_vendor("postgresql")
def test_who_reads_on_from_a_position_misses_none_whatever_commits_meanwhile(shop: Analytics) -> None:
    done = threading.Event()
    found: list[str | None] = []

    def within(number: int) -> None:
        try:
            for turn in range(25):
                with transaction.atomic(using=ALIAS):
                    shop.record("product ordered", using=ALIAS, asset_id=f"{number}-{turn}", **ORDER)
                    shop.record("product ordered", using=ALIAS, asset_id=f"{number}+{turn}", **ORDER)
        finally:
            connections[ALIAS].close()

    def own(number: int) -> None:
        for turn in range(50):
            shop.record("product ordered", asset_id=f"{number}-{turn}", **ORDER)

    def follow() -> None:
        position = 0
        while True:
            over = done.is_set()
            until = reader(shop).last_position()
            if position < until:
                part = reader(shop).rows(Filter("acme"), after=position, until=until)
                found.extend(row[7] for row in part.rows)
                position = part.position
            elif over:
                return

    follower = threading.Thread(target=follow)
    follower.start()
    with ThreadPoolExecutor(4) as pool:
        for work in [pool.submit(within, 1), pool.submit(within, 2), pool.submit(own, 3), pool.submit(own, 4)]:
            work.result(60)
    done.set()
    follower.join(30)
    assert len(found) == len({*found}) == 200
