"""Events that are answered as if they were stored, and are not: by host code, for Sec-GPC, for bots."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.contract.test_hooks import KINDS
from tests.hosts.base import BATCH, Host, an_event, choose_by_session, without
from tk_analytics_mw import Analytics, ConfigurationError, Drop, Event, Request

GPC = {"Sec-GPC": "1"}
GOOGLEBOT = {"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


class Called:
    """Registers one hook of each kind, and notes for which sessions they are called."""

    def __init__(self) -> None:
        self.sessions: list[str] = []

    def register(self, analytics: Analytics) -> None:
        for when in ("inline", "after"):
            analytics.on(when=when)(lambda event: self.sessions.append(event.session_id))
        analytics.on(durable=True, name="all")(lambda event, delivery: None)


def deliveries(host: Host) -> int:
    return sum(counts.pending for counts in host.analytics.outbox.counts().values())


@KINDS
def test_a_dropped_event_is_answered_as_if_it_were_stored_and_is_not(make_host, eventually, kind: Any) -> None:
    called = Called()

    def register(analytics: Analytics) -> None:
        analytics.before_store(kind(choose_by_session))
        called.register(analytics)

    host = make_host(register=register)
    body = an_event(sessionId="drop", metric=2.5, eventMetadata={"a": 1}, eventType="produce cart-add")
    reply = host.from_page(body)
    assert reply.status == 200
    assert {name: reply.json[name] for name in body} == body
    stored = host.from_page({**body, "sessionId": "keep"})
    assert reply.json.keys() == stored.json.keys()
    assert reply.headers.keys() == stored.headers.keys()
    eventually(lambda: called.sessions == ["keep", "keep"])
    assert [row["session_id"] for row in host.rows()] == ["keep"]
    assert deliveries(host) == 1
    assert host.analytics.dropped == {"test": 1}


def test_events_of_a_batch_are_dropped_one_by_one(make_host, eventually) -> None:
    called = Called()

    def register(analytics: Analytics) -> None:
        analytics.before_store(choose_by_session)
        called.register(analytics)

    host = make_host(register=register)
    sessions = ["a", "drop 1", "", "reject", "drop 2", "b"]
    reply = host.from_server({"events": [an_event(sessionId=session) for session in sessions]}, path=BATCH)
    results = reply.json["results"]
    assert [result["status"] for result in results] == [200, 200, 422, 422, 200, 200]
    answered = [result["event"]["sessionId"] for result in results if result["status"] == 200]
    assert answered == ["a", "drop 1", "drop 2", "b"]
    eventually(lambda: len(called.sessions) == 4)
    assert called.sessions == ["a", "b"] * 2
    assert [row["session_id"] for row in host.rows()] == ["a", "b"]
    assert deliveries(host) == 2
    assert host.analytics.dropped == {"test": 2}
    everything = {"events": [an_event(sessionId="drop")] * 3}
    assert host.from_server(everything, path=BATCH).status == 200
    assert host.analytics.dropped == {"test": 5}
    assert len(host.rows()) == 2


def test_host_code_gets_a_dropped_event_back_and_is_called_for_it_by_no_hook(make_host) -> None:
    called = Called()

    def drop(event: Event) -> None:
        raise Drop

    def register(analytics: Analytics) -> None:
        analytics.before_store(drop)
        called.register(analytics)

    host = make_host(register=register)

    async def order() -> Event:
        return await host.analytics.arecord("produce ordered", org_id="acme", session_id="s")

    events = [host.analytics.record("product ordered", org_id="acme", session_id="s"), anyio.run(order)]
    assert [event.event_type for event in events] == ["product ordered"] * 2
    assert called.sessions == []
    assert host.rows() == []
    assert host.analytics.dropped == {"dropped by the host application": 2}


def test_what_functions_made_of_an_event_before_another_dropped_it_is_in_the_answer(make_host) -> None:
    unreached: list[Event] = []

    def drop(event: Event) -> None:
        raise Drop

    def register(analytics: Analytics) -> None:
        analytics.before_store(lambda event: event.replace(user_id=None).with_metadata(campaign="spring"))
        analytics.before_store(drop)
        analytics.before_store(unreached.append)

    host = make_host(register=register)
    answer = host.from_page(an_event(userId="jane")).json
    assert answer["eventMetadata"] == {"campaign": "spring"}
    assert "userId" not in answer
    assert unreached == host.rows() == []


def test_a_dropped_event_that_is_repeated_is_dropped_again(make_host) -> None:
    dropping = [True]

    def choose(event: Event) -> None:
        if dropping[0]:
            raise Drop("no consent")

    host = make_host(register=lambda analytics: analytics.before_store(choose))
    key = {"Idempotency-Key": "order-4711"}
    first, again = (host.from_server(an_event(), headers=key) for _ in range(2))
    assert (first.status, again.status) == (200, 200)
    assert first.json["id"] != again.json["id"], "nothing is kept of it, so nothing is known of it"
    assert host.analytics.dropped == {"no consent": 2}
    dropping[0] = False
    stored = host.from_server(an_event(), headers=key)
    assert [row["id"] for row in host.rows()] == [stored.json["id"]]


# With the request


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_consent_is_read_from_the_request(make_host, is_async: bool) -> None:
    seen: list[Request | None] = []

    def consent(event: Event, request: Request | None) -> None:
        seen.append(request)
        if request is not None and (request.cookies.get("consent") != "yes" or request.headers.get("dnt") == "1"):
            raise Drop("no consent")

    async def consent_async(event: Event, request: Request | None) -> None:
        await anyio.sleep(0)
        consent(event, request)

    host = make_host(register=lambda analytics: analytics.before_store(consent_async if is_async else consent))
    yes = {"Cookie": "theme=dark; consent=yes"}
    for headers in ({}, {"Cookie": "consent=no"}, yes, {**yes, "DNT": "1"}, {**yes, "DNT": "0"}):
        assert host.from_page(an_event(), headers=headers).status == 200
    assert len(host.rows()) == 2
    assert host.analytics.dropped == {"no consent": 3}
    batch = {"events": [an_event(), an_event()]}
    host.from_page(batch, path=BATCH, headers=yes)
    host.from_page(batch, path=BATCH)
    assert len(host.rows()) == 4
    host.analytics.record("product ordered", org_id="acme", session_id="s")
    assert len(host.rows()) == 5
    assert seen.pop() is None, "host code's events come with no request"
    assert all(isinstance(request, Request) for request in seen)


def test_which_functions_get_the_request(make_host) -> None:
    seen: dict[str, tuple[Any, ...]] = {}

    class Policy:
        def method(self, event: Event, request: Request | None) -> None:
            seen["method"] = (request,)

        def one(self, event: Event) -> None:
            seen["one"] = ()

    def optional(event: Event, request: Request | None = None) -> None:
        seen["optional"] = (request,)

    def any_name(event: Event, http: Request | None, /) -> None:
        seen["any name"] = (http,)

    def wrapper(*args: Any, **options: Any) -> None:
        seen["wrapper"] = args[1:]

    def register(analytics: Analytics) -> None:
        for function in (Policy().method, Policy().one, optional, any_name, wrapper):
            analytics.before_store(function)
        analytics.before_store(lambda event, name="own": seen.update({name: (name,)}))

    host = make_host(register=register)
    assert host.from_page(an_event()).status == 200
    with_request = {name for name, given in seen.items() if given and isinstance(given[0], Request)}
    assert with_request == {"method", "optional", "any name"}
    assert (seen["one"], seen["wrapper"], seen["own"]) == ((), (), ("own",))


def test_a_function_that_takes_something_else_stops_the_start() -> None:
    for function in (lambda: None, lambda event, request, more: None, lambda event, *, request: None):
        with pytest.raises(ConfigurationError, match=r"takes \(event\) or \(event, request\)"):
            Analytics().before_store(function)


# Sec-GPC


def test_gpc_removes_the_user_id_unless_told_otherwise(make_host) -> None:
    seen: list[str | None] = []
    host = make_host(register=lambda analytics: analytics.before_store(lambda event: seen.append(event.user_id)))
    body = an_event(userId="jane", metric=3)
    reply = host.from_page(body, headers=GPC)
    assert reply.status == 200
    assert "userId" not in reply.json
    assert {name: reply.json[name] for name in without(body, "userId")} == without(body, "userId")
    results = host.from_server({"events": [body, an_event()]}, path=BATCH, headers=GPC).json["results"]
    assert all("userId" not in result["event"] for result in results)
    assert [row["user_id"] for row in host.rows()] == seen == [None, None, None]
    for headers in ({"Sec-GPC": "0"}, {"Sec-GPC": ""}, {"Sec-GPC": "true"}, {}):
        assert host.from_page(body, headers=headers).json["userId"] == "jane"
    assert host.from_page(an_event(userId=""), headers=GPC).locs == [["body", "userId"]]
    assert host.analytics.dropped == {}


def test_gpc_leaves_what_was_stored_before_as_the_answer_to_a_repetition(make_host) -> None:
    host = make_host()
    key = {"Idempotency-Key": "k"}
    first = host.from_page(an_event(userId="jane"), headers=key)
    assert host.from_page(an_event(userId="jane"), headers={**key, **GPC}).json == first.json
    assert len(host.rows()) == 1


def test_gpc_may_be_ignored(make_host) -> None:
    host = make_host(respect_gpc="ignore")
    assert host.from_page(an_event(userId="jane"), headers=GPC).json["userId"] == "jane"
    assert [row["user_id"] for row in host.rows()] == ["jane"]


def test_gpc_may_drop_the_event(make_host) -> None:
    called = Called()
    host = make_host(register=called.register, respect_gpc="drop")
    reply = host.from_page(an_event(userId="jane"), headers=GPC)
    assert (reply.status, reply.json["userId"]) == (200, "jane")
    events = {"events": [an_event(), {"eventType": "?"}, an_event()]}
    results = host.from_server(events, path=BATCH, headers=GPC).json["results"]
    assert [result["status"] for result in results] == [200, 422, 200]
    assert host.from_server({"events": [{}]}, path=BATCH, headers=GPC).status == 200
    assert host.from_page(an_event(sessionId=""), headers=GPC).status == 422, "it is checked all the same"
    assert host.analytics.dropped == {"Sec-GPC": 3}
    assert called.sessions == host.rows() == []
    assert host.from_page(an_event()).status == 200
    assert len(host.rows()) == 1


# Bots


def test_bots_are_stored_and_marked_unless_told_otherwise(make_host) -> None:
    host = make_host()
    assert host.from_page(an_event(), headers=GOOGLEBOT).status == 200
    assert [row["device_type"] for row in host.rows()] == ["bot"]
    assert host.analytics.dropped == {}


def test_bots_may_be_dropped(make_host) -> None:
    called = Called()
    host = make_host(register=called.register, drop_bots=True)
    assert host.from_page(an_event(), headers=GOOGLEBOT).status == 200
    assert host.from_page({"events": [an_event()] * 2}, path=BATCH, headers=GOOGLEBOT).status == 200
    assert host.analytics.dropped == {"bot": 3}
    assert called.sessions == host.rows() == []
    assert host.from_page(an_event(), headers=FIREFOX).status == 200
    assert host.from_page(an_event()).status == 200, "no User-Agent is no bot's"
    assert host.from_server(an_event(), headers=GOOGLEBOT).status == 200, "the shop's own server is none either"
    assert [row["device_type"] for row in host.rows()] == ["pc", "other", "bot"]
