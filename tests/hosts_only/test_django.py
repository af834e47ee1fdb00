"""What only Django has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import clear_script_prefix

from tests.hosts.asgi_faces import call_asgi, exchange, scope_of
from tests.hosts.base import EVENTS, HOST, PRIVATE, Reply, an_event, default_options
from tests.hosts.django_faces import OURS, USUAL, DjangoSite
from tests.hosts.wsgi_face import call_wsgi, environ_of
from tk_analytics_mw import Analytics, ConfigurationError, Event

PLAIN_URLS = "tests.hosts.django_plain_urls"
URLS_WITH_US = "tests.hosts.django_urls"
AS_SERVER = {"Authorization": f"Bearer {PRIVATE}", "Host": HOST}
BODY = json.dumps(an_event()).encode()

MakeSite = Callable[..., DjangoSite]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Put a Django project's settings in place; take them back in the end."""
    sites: list[DjangoSite] = []

    def make(
        middleware: list[str],
        *,
        register: Callable[[Analytics], None] = lambda analytics: None,
        urls: str = PLAIN_URLS,
        options: dict[str, Any] | None = None,
        **overrides: Any,
    ) -> DjangoSite:
        options = {"storage": f"sqlite:///{tmp_path}/analytics.db", **default_options(), **(options or {})}
        sites.append(DjangoSite(options, register, MIDDLEWARE=middleware, ROOT_URLCONF=urls, **overrides))
        return sites[-1]

    yield make
    for site in reversed(sites):
        site.close()


def by_wsgi(path: str = EVENTS, body: bytes = BODY, **headers: str) -> Reply:
    environ = environ_of("POST", path, "", {**AS_SERVER, "Content-Type": "application/json", **headers}, body)
    return call_wsgi(WSGIHandler(), environ)


def by_asgi(path: str = EVENTS, body: bytes = BODY, **headers: str) -> Reply:
    head = {**AS_SERVER, "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    return call_asgi(ASGIHandler(), scope_of("POST", path, "", head.items()), body)


HANDLERS = pytest.mark.parametrize("post", [by_wsgi, by_asgi], ids=["wsgi", "asgi"])
MODES = pytest.mark.parametrize("mode", ["middleware", "urls"])


def in_mode(make_site: MakeSite, mode: str, **how: Any) -> DjangoSite:
    if mode == "urls":
        return make_site(USUAL, urls=URLS_WITH_US, **how)
    return make_site([*USUAL, OURS], **how)


@MODES
@HANDLERS
def test_both_handlers_serve_both_modes(make_site: MakeSite, mode: str, post: Any) -> None:
    in_mode(make_site, mode)
    assert post().status == 200
    assert post(f"{EVENTS}/").status == 200
    assert post("/cart").body == b"host: POST /cart"


@pytest.mark.parametrize("position", ["first", "last"])
@HANDLERS
def test_the_middleware_may_stand_first_or_last(make_site: MakeSite, position: str, post: Any) -> None:
    make_site([OURS, *USUAL] if position == "first" else [*USUAL, OURS])
    assert post().status == 200
    assert post("/cart").status == 200


@MODES
def test_csrf_checks_are_no_obstacle_and_stay_in_force_for_the_host(make_site: MakeSite, mode: str) -> None:
    in_mode(make_site, mode)
    client = Client(enforce_csrf_checks=True, headers={"Authorization": AS_SERVER["Authorization"]})
    assert client.post(EVENTS, BODY, "application/json").status_code == 200
    from django.middleware.csrf import CsrfViewMiddleware

    guarded = CsrfViewMiddleware(lambda request: None)
    request = RequestFactory(enforce_csrf_checks=True).post("/cart")
    request._dont_enforce_csrf_checks = False
    refused = guarded.process_view(request, lambda request: None, (), {})
    assert refused is not None
    assert refused.status_code == 403


@MODES
@pytest.mark.parametrize("debug", [True, False])
def test_append_slash_redirects_no_event(make_site: MakeSite, mode: str, debug: bool) -> None:
    in_mode(make_site, mode, APPEND_SLASH=True, DEBUG=debug)
    client = Client(headers={"Authorization": AS_SERVER["Authorization"]})
    for path in (EVENTS, f"{EVENTS}/"):
        assert client.post(path, BODY, "application/json").status_code == 200
    assert client.get("/api/analytics/healthcheck").json() is True


@MODES
@HANDLERS
def test_a_foreign_host_header_is_refused(make_site: MakeSite, mode: str, post: Any) -> None:
    in_mode(make_site, mode, ALLOWED_HOSTS=[HOST])
    assert post().status == 200
    reply = post(Host="evil.example")
    assert reply.status == 400
    assert b"evil.example" not in reply.body


def test_a_foreign_host_header_is_refused_when_we_stand_first(make_site: MakeSite) -> None:
    make_site([OURS], ALLOWED_HOSTS=[HOST])
    for post in (by_wsgi, by_asgi):
        reply = post(Host="evil.example")
        assert reply.status == 400
        assert reply.headers["content-type"].startswith("application/problem+json")


class SyncOnly:
    """A neighbour of the kind that Django runs in a thread."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        response["X-Sync-Neighbour"] = "passed"
        return response


class AsyncOnly:
    """A neighbour that knows no threads."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    async def __call__(self, request: Any) -> Any:
        response = await self.get_response(request)
        response["X-Async-Neighbour"] = "passed"
        return response


SYNC_ONLY = f"{__name__}.SyncOnly"
ASYNC_ONLY = f"{__name__}.AsyncOnly"
STACKS = [
    [SYNC_ONLY, OURS],
    [OURS, SYNC_ONLY],
    [ASYNC_ONLY, OURS],
    [OURS, ASYNC_ONLY],
    [SYNC_ONLY, OURS, ASYNC_ONLY],
    [ASYNC_ONLY, OURS, SYNC_ONLY],
    [SYNC_ONLY, ASYNC_ONLY, OURS],
    [ASYNC_ONLY, SYNC_ONLY, OURS, ASYNC_ONLY],
]


@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: "-".join(name.rpartition(".")[2] for name in stack))
@HANDLERS
def test_neighbours_of_either_kind(make_site: MakeSite, post: Any, stack: list[str]) -> None:
    seen: list[str] = []

    def register(analytics: Analytics) -> None:
        analytics.before_store(lambda event: event.with_metadata(by="host"))

        @analytics.on()
        def plain(event: Event) -> None:
            seen.append("plain")

        @analytics.on(when="inline")
        async def later(event: Event) -> None:
            await asyncio.sleep(0.001)
            seen.append("async")

    make_site(stack, register=register)
    reply = post()
    assert reply.status == 200
    assert reply.json["eventMetadata"] == {"by": "host"}
    assert seen == ["async", "plain"]
    above = stack[: stack.index(OURS)]
    assert ("x-sync-neighbour" in reply.headers) == (SYNC_ONLY in above)
    assert ("x-async-neighbour" in reply.headers) == (ASYNC_ONLY in above)
    host = post("/cart")
    assert host.body == b"host: POST /cart"
    assert ("x-sync-neighbour" in host.headers) == (SYNC_ONLY in stack)


def test_the_asynchronous_test_client(make_site: MakeSite, eventually: Any) -> None:
    seen: list[str] = []
    make_site([*USUAL, OURS], register=lambda analytics: analytics.on()(lambda event: seen.append(event.id)))

    async def run() -> tuple[int, Any]:
        response = await AsyncClient().post(
            EVENTS, BODY, "application/json", headers={"Authorization": AS_SERVER["Authorization"]}
        )
        for _ in range(1000):
            if seen:
                break
            await asyncio.sleep(0.001)
        return response.status_code, response.json()["id"]

    status, id_ = asyncio.run(run())
    assert status == 200
    assert seen == [id_]


@MODES
def test_after_hooks_run_when_the_answer_has_been_sent(make_site: MakeSite, mode: str) -> None:
    order: list[str] = []

    def register(analytics: Analytics) -> None:
        analytics.on()(lambda event: order.append("after"))
        analytics.on(when="inline")(lambda event: order.append("inline"))

    in_mode(make_site, mode, register=register)
    app = ASGIHandler()

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            order.append(message["type"])
            await send(message)

        await app(scope, receive, sending)

    head = {**AS_SERVER, "Content-Length": str(len(BODY))}
    assert call_asgi(watched, scope_of("POST", EVENTS, "", head.items()), BODY).status == 200
    assert order == ["inline", "http.response.start", "http.response.body", "after"]
    order.clear()
    answer = WSGIHandler()(environ_of("POST", EVENTS, "", AS_SERVER, BODY), lambda *args: None)
    assert list(answer)
    assert order == ["inline"]
    answer.close()
    assert order == ["inline", "after"]


@MODES
def test_a_client_that_leaves_within_the_body_stores_nothing(make_site: MakeSite, tmp_path: Path, mode: str) -> None:
    in_mode(make_site, mode)
    incoming = [{"type": "http.request", "body": BODY[:10], "more_body": True}, {"type": "http.disconnect"}]
    scope = scope_of("POST", EVENTS, "", AS_SERVER.items())
    assert anyio.run(exchange, ASGIHandler(), scope, incoming) == []
    assert not (tmp_path / "analytics.db").exists()


@MODES
def test_a_script_name_is_no_part_of_the_prefix(make_site: MakeSite, mode: str) -> None:
    try:
        in_mode(make_site, mode, FORCE_SCRIPT_NAME="/shop")
        reply = by_wsgi()
        assert reply.status == 200
        assert by_asgi().status == 200
    finally:
        clear_script_prefix()


@MODES
def test_a_script_name_of_the_server_is_part_of_the_request_url(make_site: MakeSite, mode: str) -> None:
    try:
        in_mode(make_site, mode)
        environ = environ_of("POST", EVENTS, "", AS_SERVER, BODY)
        environ["SCRIPT_NAME"] = "/shop"
        reply = call_wsgi(WSGIHandler(), environ)
        assert reply.json["requestUrl"] == f"http://{HOST}/shop{EVENTS}"
        head = {**AS_SERVER, "Content-Length": str(len(BODY))}
        scope = scope_of("POST", f"/shop{EVENTS}", "", head.items(), root_path="/shop")
        reply = call_asgi(ASGIHandler(), scope, BODY)
        assert reply.json["requestUrl"] == f"http://{HOST}/shop{EVENTS}"
    finally:
        clear_script_prefix()


def test_settings_for_proxies_are_djangos(make_site: MakeSite) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "www.example.com"}
    site = make_site([OURS])
    assert by_wsgi(**forwarded).json["requestUrl"] == f"http://{HOST}{EVENTS}"
    site.close()
    make_site([OURS], SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"), USE_X_FORWARDED_HOST=True)
    for post in (by_wsgi, by_asgi):
        assert post(**forwarded).json["requestUrl"] == f"https://www.example.com{EVENTS}"


@MODES
@HANDLERS
def test_hooks_leave_no_database_connection_open(make_site: MakeSite, tmp_path: Path, mode: str, post: Any) -> None:
    used: list[Any] = []

    def query(event: Event) -> None:
        from django.db import connections

        with connections["default"].cursor() as cursor:
            used.append(cursor.execute("SELECT 1").fetchone()[0])
        used.append(connections["default"])

    def register(analytics: Analytics) -> None:
        analytics.on()(query)
        analytics.on(when="inline")(query)

    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "host.db"), "CONN_MAX_AGE": 0}
    connection.close()
    settings_dict = dict(connection.settings_dict)
    connection.settings_dict.update(database)
    try:
        in_mode(make_site, mode, register=register)
        assert post().status == 200
        assert used[0] == used[2] == 1
        assert [each.connection for each in used if not isinstance(each, int)] == [None, None]
    finally:
        connection.settings_dict.update(settings_dict)
        connection.close()


@HANDLERS
def test_data_upload_max_memory_size_holds_for_us_too(make_site: MakeSite, post: Any) -> None:
    make_site([OURS], DATA_UPLOAD_MAX_MEMORY_SIZE=200)
    assert post().status == 200
    assert post(body=json.dumps(an_event(userId="x" * 190)).encode()).status == 413


def test_override_settings_takes_effect_and_is_taken_back(make_site: MakeSite, tmp_path: Path) -> None:
    make_site([OURS])
    assert by_wsgi().status == 200
    other = {"PREFIX": "/signals", "STORAGE": f"sqlite:///{tmp_path}/other.db", "TOKENS": default_options()["tokens"]}
    with override_settings(TK_ANALYTICS=other):
        assert by_wsgi("/signals/events").status == 200
        assert by_wsgi().body == f"host: POST {EVENTS}".encode()
        from tk_analytics_mw.django import analytics

        analytics.close()
    assert by_wsgi().status == 200
    assert by_wsgi("/signals/events").body == b"host: POST /signals/events"


def test_an_unknown_setting_stops_start_up_and_is_named(make_site: MakeSite) -> None:
    make_site([OURS], options={"prefixx": "/x"})
    for handler in (WSGIHandler, ASGIHandler):
        with pytest.raises(ConfigurationError, match="PREFIXX"):
            handler()


def test_event_code_of_the_host_records_outside_a_request(make_site: MakeSite) -> None:
    site = make_site([OURS])
    event = site.analytics.record("product ordered", org_id="acme", session_id="s")
    assert event.event_type == "product ordered"


@pytest.mark.parametrize("terminated", [True, False])
@MODES
def test_a_chunked_body_is_read_when_the_server_says_where_it_ends(
    make_site: MakeSite, mode: str, terminated: bool
) -> None:
    in_mode(make_site, mode)
    environ = environ_of("POST", EVENTS, "", {**AS_SERVER, "Transfer-Encoding": "chunked"}, BODY)
    del environ["CONTENT_LENGTH"]
    if terminated:
        environ["wsgi.input_terminated"] = True
    assert call_wsgi(WSGIHandler(), environ).status == (200 if terminated else 411)


def test_a_neighbour_that_has_read_the_body_leaves_it_to_us(make_site: MakeSite) -> None:
    make_site([f"{__name__}.reads_the_body", OURS])
    assert by_wsgi().status == 200
    assert by_asgi().status == 200


def reads_the_body(get_response: Callable[..., Any]) -> Callable[..., Any]:
    def middleware(request: Any) -> Any:
        assert request.body is not None
        return get_response(request)

    return middleware
