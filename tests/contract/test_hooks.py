"""Host code that is called for events: plain and async functions, on every face."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.hosts.base import EVENTS, SHOP, Host, an_event
from tk_analytics_mw import Analytics, ConfigurationError, Event, EventType, InvalidEvent, Reject, StorageUnavailable


def plain(call: Callable[[Event], Any]) -> Callable[[Event], Any]:
    def hook(event: Event) -> Any:
        return call(event)

    return hook


def async_(call: Callable[[Event], Any]) -> Callable[[Event], Any]:
    async def hook(event: Event) -> Any:
        await anyio.sleep(0.001)
        return call(event)

    return hook


def async_object(call: Callable[[Event], Any]) -> Callable[[Event], Any]:
    class Hook:
        async def __call__(self, event: Event) -> Any:
            await anyio.sleep(0.001)
            return call(event)

    return Hook()


def async_partial(call: Callable[[Event], Any]) -> Callable[[Event], Any]:
    return functools.partial(async_(call))


def plain_that_gives_a_coroutine(call: Callable[[Event], Any]) -> Callable[[Event], Any]:
    return plain(async_(call))


KINDS = pytest.mark.parametrize("kind", [plain, async_, async_object, async_partial, plain_that_gives_a_coroutine])
WHEN = pytest.mark.parametrize("when", ["after", "inline"])


@KINDS
@WHEN
def test_a_hook_gets_the_stored_event(make_host, eventually, kind: Any, when: Any) -> None:
    seen: list[Event] = []
    host = make_host(register=lambda analytics: analytics.on(EventType.CART_ADD, when=when)(kind(seen.append)))
    reply = host.from_page(an_event(userId="jane", metric=2.5, eventType="produce cart-add"))
    host.from_page(an_event(eventType="product ordered"))
    assert reply.status == 200
    eventually(lambda: seen)
    [event] = seen
    assert isinstance(event, Event)
    assert (event.id, event.user_id, event.metric) == (reply.json["id"], "jane", 2.5)
    assert event.event_type == "product cart-add"
    assert event.request_origin == SHOP


def test_subscriptions_in_any_spelling_to_several_types_and_to_all(make_host) -> None:
    seen: dict[str, list[str]] = {"spelled": [], "several": [], "all": [], "own": []}

    def register(analytics: Analytics) -> None:
        def into(name: str) -> Callable[[Event], None]:
            return lambda event: seen[name].append(event.event_type)

        analytics.on("production configuration attribute set")(into("spelled"))
        analytics.on(EventType.ORDERED, "produce cart-add")(into("several"))
        analytics.on()(into("all"))
        analytics.on("brochure request")(into("own"))

    host = make_host(register=register, event_types=["brochure request"])
    types = ["product configuration attribute set", "product ordered", "produce cart-add", "brochure request"]
    for type_ in types:
        assert host.from_page(an_event(eventType=type_)).status == 200
    canonical = [types[0], types[1], "product cart-add", types[3]]
    assert seen == {"spelled": canonical[:1], "several": canonical[1:3], "all": canonical, "own": canonical[3:]}


def test_a_subscription_to_no_event_type_stops_start_up(make_host) -> None:
    with pytest.raises(ConfigurationError, match="product explode"):
        make_host(register=lambda analytics: analytics.on("product explode")(print)).from_page(an_event())


def test_inline_hooks_run_before_after_hooks_and_each_in_the_order_of_registration(make_host, eventually) -> None:
    seen: list[str] = []

    def register(analytics: Analytics) -> None:
        for name, when, kind in (
            ("after 1", "after", plain),
            ("inline 1", "inline", async_),
            ("after 2", "after", async_),
            ("inline 2", "inline", plain),
        ):
            analytics.on(when=when)(kind(lambda event, name=name: seen.append(name)))

    make_host(register=register).from_page(an_event())
    eventually(lambda: len(seen) == 4)
    assert seen == ["inline 1", "inline 2", "after 1", "after 2"]


def test_the_event_is_on_disk_when_a_hook_is_called(make_host, eventually) -> None:
    hosts: list[Host] = []
    seen: list[int] = []

    def register(analytics: Analytics) -> None:
        for when in ("inline", "after"):
            analytics.on(when=when)(lambda event: seen.append(len(hosts[0].rows())))

    hosts.append(make_host(register=register))
    hosts[0].from_page(an_event())
    eventually(lambda: len(seen) == 2)
    assert seen == [1, 1]


@WHEN
def test_a_hook_that_raises_changes_neither_the_answer_nor_the_others(
    make_host, eventually, caplog: pytest.LogCaptureFixture, when: Any
) -> None:
    seen: list[str] = []

    def explode(event: Event) -> None:
        raise ZeroDivisionError("hunter2")

    def reject(event: Event) -> None:
        raise Reject("too late")

    def register(analytics: Analytics) -> None:
        analytics.on(when=when)(explode)
        analytics.on(when=when)(async_(explode))
        analytics.on(when=when)(reject)
        analytics.on(when=when)(lambda event: seen.append(event.id))

    host = make_host(register=register)
    reply = host.from_page(an_event())
    assert reply.status == 200
    eventually(lambda: seen)
    assert seen == [reply.json["id"]] == [row["id"] for row in host.rows()]
    assert caplog.text.count("hunter2") >= 2


def test_what_a_hook_returns_is_of_no_interest(make_host) -> None:
    host = make_host(register=lambda analytics: analytics.on(when="inline")(lambda event: event.replace(metric=9)))
    assert host.from_page(an_event()).json["metric"] == 1


def test_decorating_gives_the_function_back(make_host) -> None:
    def hook(event: Event) -> None: ...

    given: list[Any] = []

    def register(analytics: Analytics) -> None:
        given.append(analytics.on("product ordered")(hook))
        given.append(analytics.before_store(hook))

    make_host(register=register)
    assert given == [hook, hook]


def test_a_hook_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="when"):
        Analytics().on(when="later")  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [lambda event: None, ["product ordered"], None])
def test_a_decorator_without_its_parentheses_stops_start_up(given: Any) -> None:
    """``@analytics.on`` alone would take the function for an event type, and never call it."""
    with pytest.raises(ConfigurationError, match="parentheses"):
        Analytics().on(given)


@KINDS
def test_before_store_may_enrich(make_host, kind: Any) -> None:
    def campaign(event: Event) -> Event:
        return event.with_metadata(campaign="spring").replace(metric=event.metric * 2, user_id="jane")

    host = make_host(register=lambda analytics: analytics.before_store(kind(campaign)))
    reply = host.from_page(an_event(metric=21, eventMetadata={"a": 1}, eventType="produce ordered"))
    assert reply.json["eventMetadata"] == {"a": 1, "campaign": "spring"}
    assert (reply.json["metric"], reply.json["userId"], reply.json["eventType"]) == (42, "jane", "produce ordered")
    [row] = host.rows()
    assert (row["metric"], row["user_id"], row["event_metadata"]) == (42, "jane", '{"a":1,"campaign":"spring"}')


@KINDS
def test_before_store_may_reject(make_host, kind: Any) -> None:
    called: list[Event] = []

    def sold_out(event: Event) -> None:
        if event.asset_id == "sofa":
            raise Reject("the sofa is sold out")

    def register(analytics: Analytics) -> None:
        analytics.before_store(kind(sold_out))
        analytics.on()(called.append)

    host = make_host(register=register)
    reply = host.from_page(an_event(assetId="sofa"))
    assert reply.status == 422
    assert "the sofa is sold out" in reply.body.decode()
    assert reply.locs[0][0] == "body"
    assert host.rows() == []
    assert host.from_page(an_event(assetId="chair")).status == 200
    batch = {"events": [an_event(assetId="sofa"), an_event(assetId="chair")]}
    results = host.from_page(batch, path=f"{EVENTS}/batch").json["results"]
    assert [result["status"] for result in results] == [422, 200]
    assert len(called) == len(host.rows()) == 2


def test_before_store_functions_see_what_the_one_before_made(make_host) -> None:
    def register(analytics: Analytics) -> None:
        analytics.before_store(lambda event: event.replace(metric=event.metric + 1))
        analytics.before_store(lambda event: None)
        analytics.before_store(lambda event: event.replace(metric=event.metric * 10))

    assert make_host(register=register).from_page(an_event(metric=1)).json["metric"] == 20


def test_before_store_cannot_make_an_event_that_is_not_valid(make_host) -> None:
    changes: list[dict[str, Any]] = [
        {"event_metadata": {"a": float("nan")}},
        {"event_metadata": {"a": object()}},
        {"user_id": "\x00"},
        {"session_id": ""},
        {"metric": "5"},
    ]
    for change in changes:
        host = make_host(
            register=lambda analytics, change=change: analytics.before_store(lambda event: event.replace(**change))
        )
        assert host.from_page(an_event()).status >= 400, change
        assert host.rows() == []


@pytest.mark.parametrize("identity", ["id", "org_id", "event_type", "created_at"])
def test_before_store_cannot_change_which_event_it_is(make_host, identity: str) -> None:
    changes = {"id": "x", "org_id": "rival", "event_type": "product ordered", "created_at": None}
    host = make_host(
        register=lambda analytics: analytics.before_store(lambda event: event.replace(**{identity: changes[identity]}))
    )
    assert host.from_page(an_event()).status >= 400
    assert host.rows() == []


def test_a_before_store_function_that_fails_stores_nothing(make_host, caplog: pytest.LogCaptureFixture) -> None:
    def explode(event: Event) -> None:
        raise ZeroDivisionError("hunter2")

    for broken in (explode, async_(explode), lambda event: {"metric": 2}, lambda event: True):
        host = make_host(register=lambda analytics, broken=broken: analytics.before_store(broken))
        reply = host.from_page(an_event())
        assert reply.status >= 500
        assert reply.headers["content-type"].partition(";")[0] == "application/problem+json"
        assert b"hunter2" not in reply.body
        assert host.rows() == []
    assert "hunter2" in caplog.text


def test_events_do_not_change(make_host) -> None:
    faults: list[Exception] = []

    def vandal(event: Event) -> None:
        try:
            event.metric = 7  # type: ignore[misc]
        except Exception as error:
            faults.append(error)

    host = make_host(register=lambda analytics: analytics.on(when="inline")(vandal))
    assert host.from_page(an_event()).json["metric"] == 1
    assert len(faults) == 1


def registered(seen: list[str]) -> Callable[[Analytics], None]:
    def register(analytics: Analytics) -> None:
        analytics.before_store(async_(lambda event: event.with_metadata(by="host")))
        analytics.on(when="inline")(async_(lambda event: seen.append("inline")))
        analytics.on()(lambda event: seen.append("after"))

    return register


def test_host_code_records_events_that_are_durable_and_whose_hooks_have_run(make_host) -> None:
    seen: list[str] = []
    host = make_host(register=registered(seen))
    event = host.analytics.record(
        EventType.ORDERED, org_id="acme", session_id="s", metric=99.5, event_metadata={"order": 7}, asset_id=None
    )
    assert seen == ["inline", "after"]
    [row] = host.rows()
    assert (row["id"], row["event_type"], row["metric"]) == (event.id, "product ordered", 99.5)
    assert event.event_metadata == {"order": 7, "by": "host"}
    assert (row["request_url"], row["request_origin"], row["referer"]) == (None, None, "")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_host_code_records_events_too(make_host, backend: str) -> None:
    seen: list[str] = []
    host = make_host(register=registered(seen))

    async def order() -> Event:
        return await host.analytics.arecord("produce ordered", org_id="acme", session_id="s")

    event = anyio.run(order, backend=backend)
    assert event.event_type == "product ordered"
    assert seen == ["inline", "after"]
    assert [row["id"] for row in host.rows()] == [event.id]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_host_code_may_record_without_awaiting_on_a_running_loop(make_host, backend: str) -> None:
    seen: list[str] = []
    host = make_host(register=registered(seen))

    async def order() -> Event:
        return host.analytics.record("product ordered", org_id="acme", session_id="s")

    event = anyio.run(order, backend=backend)
    assert seen == ["inline", "after"]
    assert [row["id"] for row in host.rows()] == [event.id]


def test_host_code_is_told_what_is_not_valid(host: Host) -> None:
    record = host.analytics.record
    given: dict[str, Any] = {"org_id": "acme", "session_id": "s"}
    for change in (
        {"session_id": "undefined"},
        {"org_id": ""},
        {"metric": True},
        {"metric": float("inf")},
        {"event_metadata": {"a": {1, 2}}},
        {"event_metadata": {1: 2}},
        {"user_id": "\ud800"},
        {"config_id": "x"},
        {"idempotency_key": "a b"},
    ):
        with pytest.raises(InvalidEvent):
            record("product ordered", **{**given, **change})
    with pytest.raises(InvalidEvent):
        record("product explode", **given)
    with pytest.raises(InvalidEvent):
        record("product ordered", org_id="acme")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        record("product ordered", **given, colour="green")  # type: ignore[call-arg]
    assert host.rows() == []


def test_host_code_is_told_of_a_rejection_and_of_a_storage_that_is_away(make_host) -> None:
    def reject(event: Event) -> None:
        raise Reject("no")

    host = make_host(register=lambda analytics: analytics.before_store(reject))
    with pytest.raises(Reject):
        host.analytics.record("product ordered", org_id="acme", session_id="s")
    host = make_host()
    host.database.mkdir()
    with pytest.raises(StorageUnavailable):
        host.analytics.record("product ordered", org_id="acme", session_id="s")


def test_a_hook_may_record_a_further_event(make_host, eventually) -> None:
    analytics_of: list[Analytics] = []

    def also(event: Event) -> None:
        analytics_of[0].record("brochure request", org_id=event.org_id, session_id=event.session_id)

    async def also_async(event: Event) -> None:
        await analytics_of[0].arecord("catalogue request", org_id=event.org_id, session_id=event.session_id)

    def register(analytics: Analytics) -> None:
        analytics_of.append(analytics)
        analytics.on("product ordered")(also)
        analytics.on("product ordered", when="inline")(also_async)

    host = make_host(register=register, event_types=["brochure request", "catalogue request"])
    assert host.from_server(an_event(eventType="product ordered")).status == 200
    eventually(lambda: len(host.rows()) == 3)
    assert [row["event_type"] for row in host.rows()] == ["product ordered", "catalogue request", "brochure request"]
