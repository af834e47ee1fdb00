"""What only ASGI has: other kinds of connections, and clients that leave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.hosts.asgi_faces import asgi_shop, call_asgi, exchange, reply_of, scope_of
from tests.hosts.base import EVENTS, PRIVATE, PUBLIC, SHOP, an_event, default_options
from tk_analytics_mw import Analytics

AS_SERVER = [("Authorization", f"Bearer {PRIVATE}"), ("Host", "shop.test")]
BODY = json.dumps(an_event()).encode()
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture
def analytics(tmp_path: Path) -> Iterator[Analytics]:
    made = Analytics(storage=f"sqlite:///{tmp_path}/analytics.db", **default_options())
    yield made
    made.close()


def create_scope(**changes: Any) -> Scope:
    return {**scope_of("POST", EVENTS, "", AS_SERVER), **changes}


def talk(app: ASGIApp, scope: Scope, incoming: list[Message], backend: str = "asyncio") -> list[Message]:
    return anyio.run(exchange, app, scope, incoming, backend=backend)


def request(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


@BACKENDS
@pytest.mark.parametrize("pieces", [[], [BODY[:10]], [BODY], [BODY[:10], BODY[10:]]])
def test_a_client_that_leaves_within_the_body_is_not_answered_and_stores_nothing(
    analytics: Analytics, tmp_path: Path, pieces: list[bytes], backend: str
) -> None:
    incoming = [*(request(piece, more=True) for piece in pieces), {"type": "http.disconnect"}]
    assert talk(analytics.asgi(asgi_shop), create_scope(), incoming, backend) == []
    assert not (tmp_path / "analytics.db").exists()


@BACKENDS
def test_a_body_comes_in_any_pieces(analytics: Analytics, backend: str) -> None:
    app = analytics.asgi(asgi_shop)
    bytewise = [request(BODY[number : number + 1], more=True) for number in range(len(BODY))]
    for incoming in (
        [*bytewise, request(b"")],
        [request(b"", more=True), request(BODY)],
        [{"type": "http.request", "body": BODY}],
        [request(BODY, more=True), {"type": "http.request"}],
    ):
        assert reply_of(talk(app, create_scope(), incoming, backend)).status == 200


def test_a_body_is_counted_as_it_comes(analytics: Analytics) -> None:
    sent = talk(
        analytics.asgi(), create_scope(), [request(b" " * 40_000, more=True), request(b" " * 40_000, more=True)]
    )
    assert reply_of(sent).status == 413


def test_a_body_over_the_limit_is_refused_by_its_head(analytics: Analytics) -> None:
    for length in ("65537", "9" * 400):
        scope = scope_of("POST", EVENTS, "", [*AS_SERVER, ("Content-Length", length)])
        assert reply_of(talk(analytics.asgi(), scope, [])).status == 413


def test_the_body_of_a_request_that_is_refused_by_its_path_is_not_read(analytics: Analytics) -> None:
    app = analytics.asgi()
    assert reply_of(talk(app, scope_of("POST", "/api/analytics/nothing", "", AS_SERVER), [])).status == 404
    assert reply_of(talk(app, scope_of("PUT", EVENTS, "", AS_SERVER), [])).status == 405


def test_a_repeated_origin_is_refused(analytics: Analytics) -> None:
    for origins in ([SHOP, SHOP], ["https://foreign.example", SHOP], [SHOP, "https://foreign.example"]):
        headers = [("Host", "shop.test"), *(("Origin", origin) for origin in origins)]
        scope = scope_of("POST", EVENTS, f"bearer_token={PUBLIC}", headers)
        assert call_asgi(analytics.asgi(), scope, BODY).status == 401


def test_servers_may_leave_out_what_is_optional(analytics: Analytics) -> None:
    for name in ("client", "server", "root_path", "raw_path", "scheme"):
        scope = create_scope()
        del scope[name]
        assert call_asgi(analytics.asgi(asgi_shop), scope, BODY).status == 200, name
    assert call_asgi(analytics.asgi(), create_scope(client=None, server=None), BODY).status == 200


def test_a_request_without_a_host_has_no_url(analytics: Analytics) -> None:
    for headers in (AS_SERVER[:1], [*AS_SERVER[:1], ("Host", "")], [*AS_SERVER[:1], ("Host", "shop.test/<script>")]):
        reply = call_asgi(analytics.asgi(), scope_of("POST", EVENTS, "", headers), BODY)
        assert reply.status == 200
        assert reply.json["requestUrl"] is None


def test_the_scope_is_not_changed(analytics: Analytics) -> None:
    scope = create_scope(state={})
    before = {**scope, "headers": list(scope["headers"])}
    call_asgi(analytics.asgi(), scope, BODY)
    assert {name: scope[name] for name in before} == before


@BACKENDS
@pytest.mark.parametrize("type_", ["websocket", "lifespan", "of the future"])
def test_other_kinds_of_connections_are_the_hosts_on_our_paths_too(
    analytics: Analytics, type_: str, backend: str
) -> None:
    got: list[Any] = []

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        got.extend([scope, await receive()])
        await send({"type": f"{type_}.answer"})

    scope = {"type": type_, "path": EVENTS, "headers": [], "query_string": b""}
    assert talk(analytics.asgi(host), scope, [{"type": f"{type_}.first"}], backend) == [{"type": f"{type_}.answer"}]
    assert got[0] is scope
    assert got[1] == {"type": f"{type_}.first"}


def test_scope_receive_and_send_reach_the_host_untouched(analytics: Analytics) -> None:
    got: list[Any] = []

    async def host(*args: Any) -> None:
        got.extend(args)

    async def receive() -> Message:
        raise AssertionError("the body is the host's to read")

    async def send(message: Message) -> None: ...

    scope = scope_of("POST", "/cart", "", AS_SERVER)
    anyio.run(analytics.asgi(host), scope, receive, send)
    assert [one is other for one, other in zip(got, [scope, receive, send], strict=True)] == [True] * 3


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    start = {
        "type": "http.response.start",
        "status": 206,
        "headers": [(b"X-A", b"1"), (b"x-a", b"2")],
        "trailers": True,
    }
    await send(start)
    for piece in (b"one", b"", b"two"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": (await receive())["body"]})
    await send({"type": "http.response.trailers", "headers": [(b"x-t", b"1")]})


@BACKENDS
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize("app", [streaming, asgi_shop], ids=["streaming", "shop"])
def test_the_hosts_messages_are_the_same_with_and_without_us(
    analytics: Analytics, app: ASGIApp, method: str, backend: str
) -> None:
    scope = scope_of(method, "/stream", "", AS_SERVER)
    with_us, without_us = (talk(each, dict(scope), [request(b"body")], backend) for each in (analytics.asgi(app), app))
    assert with_us == without_us


def test_an_exception_of_the_host_is_the_servers(analytics: Analytics) -> None:
    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call_asgi(analytics.asgi(host), scope_of("GET", "/", "", []))


@BACKENDS
def test_many_requests_on_one_loop_are_all_stored_and_each_gets_its_own_answer(
    analytics: Analytics, backend: str
) -> None:
    app = analytics.asgi(asgi_shop)
    answers: dict[int, Any] = {}

    async def one(number: int) -> None:
        body = json.dumps(an_event(userId=f"user-{number}")).encode()
        answers[number] = reply_of(await exchange(app, create_scope(), [request(body)])).json

    async def all_at_once() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(one, number)

    anyio.run(all_at_once, backend=backend)
    assert {number: answer["userId"] for number, answer in answers.items()} == {
        number: f"user-{number}" for number in range(100)
    }
    assert len({answer["id"] for answer in answers.values()}) == 100


@BACKENDS
def test_a_request_that_is_cancelled_while_it_waits_holds_nobody_up(analytics: Analytics, backend: str) -> None:
    app = analytics.asgi(asgi_shop)
    statuses: list[int] = []

    async def one() -> None:
        statuses.append(reply_of(await exchange(app, create_scope(), [request(BODY)])).status)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await one()
                tasks.start_soon(one)

    anyio.run(run, backend=backend)
    assert statuses == [200] * 10


def test_without_a_host_everything_else_is_404(analytics: Analytics) -> None:
    assert call_asgi(analytics.asgi(), scope_of("GET", "/", "", [])).status == 404
    assert call_asgi(analytics.asgi(), create_scope(), BODY).status == 200
