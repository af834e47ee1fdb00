"""What only FastAPI and Starlette have."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from tests.hosts.asgi_faces import call_asgi, scope_of
from tests.hosts.base import EVENTS, PRIVATE, PUBLIC, SHOP, an_event, default_options
from tk_analytics_mw import Analytics, ConfigurationError, Event
from tk_analytics_mw.routes import ROUTES

AS_SERVER = {"Authorization": f"Bearer {PRIVATE}"}


@pytest.fixture
def analytics(tmp_path: Path) -> Iterator[Analytics]:
    made = Analytics(storage=f"sqlite:///{tmp_path}/analytics.db", **default_options())
    yield made
    made.close()


def create(app: Any, path: str = EVENTS, **how: Any) -> Any:
    return TestClient(app, follow_redirects=False).post(path, json=an_event(), headers=AS_SERVER, **how)


@pytest.fixture(params=[Starlette, FastAPI])
def framework(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_the_hosts_lifespan_runs_exactly_once(analytics: Analytics, framework: Any) -> None:
    ran: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        ran.append("start")
        yield {"of": "host"}
        ran.append("stop")

    app = framework(lifespan=lifespan)
    analytics.install(app)
    with TestClient(app) as client:
        assert client.post(EVENTS, json=an_event(), headers=AS_SERVER).status_code == 200
        assert ran == ["start"]
    assert ran == ["start", "stop"]


def test_a_host_whose_start_or_stop_fails_still_says_so(analytics: Analytics, framework: Any) -> None:
    for step in ("start", "stop"):

        @asynccontextmanager
        async def lifespan(app: Any, step: str = step) -> AsyncIterator[None]:
            if step == "start":
                raise RuntimeError("no start")
            yield
            raise RuntimeError("no stop")

        app = framework(lifespan=lifespan)
        analytics.install(app)
        with pytest.raises(RuntimeError, match=f"no {step}"), TestClient(app):
            pass


def test_without_a_lifespan_events_are_stored_too(analytics: Analytics, framework: Any) -> None:
    app = framework()
    analytics.install(app)
    assert create(app).status_code == 200


def test_an_application_that_is_mounted_under_a_path(analytics: Analytics, framework: Any) -> None:
    app = framework()
    analytics.install(app)
    site = Starlette(routes=[Mount("/shop", app)])
    response = create(site, f"/shop{EVENTS}")
    assert response.status_code == 200
    assert response.json()["requestUrl"] == f"http://testserver/shop{EVENTS}"
    assert create(site).status_code == 404
    assert create(Starlette(routes=[Mount("/a", site)]), f"/a/shop{EVENTS}").status_code == 200


def test_a_router_of_an_application_that_is_mounted_under_a_path(analytics: Analytics) -> None:
    app = FastAPI()
    app.include_router(analytics.router())
    response = create(Starlette(routes=[Mount("/shop", app)]), f"/shop{EVENTS}")
    assert response.status_code == 200
    assert response.json()["requestUrl"] == f"http://testserver/shop{EVENTS}"


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
@pytest.mark.parametrize("mode", ["install", "router"])
@pytest.mark.parametrize("proxy", ["strips the path", "does not strip it"])
def test_a_root_path(analytics: Analytics, mode: str, proxy: str) -> None:
    app = FastAPI(root_path="/v1")
    if mode == "install":
        analytics.install(app)
    else:
        app.include_router(analytics.router())
    path = EVENTS if proxy == "strips the path" else f"/v1{EVENTS}"
    assert create(app, path).status_code == 200
    assert create(app, f"/v2{EVENTS}").status_code == 404


def test_a_root_path_of_the_server(analytics: Analytics, framework: Any) -> None:
    app = framework()
    analytics.install(app)
    with TestClient(app, root_path="/v1") as client:
        assert client.post(f"/v1{EVENTS}", json=an_event(), headers=AS_SERVER).status_code == 200


def test_an_application_at_the_prefix_itself(analytics: Analytics) -> None:
    site = Starlette(routes=[Mount("/api/analytics", analytics.asgi())])
    assert create(site).status_code == 200
    assert create(site, "/api/analytics/nothing").status_code == 404


@pytest.mark.parametrize("first", ["cors", "analytics"])
def test_the_hosts_cors_middleware_covers_us_whatever_the_order(
    analytics: Analytics, framework: Any, first: str
) -> None:
    app = framework()

    def add_cors(app: Starlette) -> None:
        origins = [SHOP, "https://partner.example"]
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["POST"], allow_credentials=True)

    steps: list[Callable[[Starlette], None]] = [add_cors, analytics.install]
    for step in steps if first == "cors" else reversed(steps):
        step(app)
    client = TestClient(app)
    asked = {"Origin": "https://partner.example", "Access-Control-Request-Method": "POST"}
    preflight = client.options(EVENTS, headers=asked)
    assert preflight.headers["access-control-allow-origin"] == "https://partner.example"
    created = client.post(f"{EVENTS}?bearer_token={PUBLIC}", json=an_event(), headers={"Origin": SHOP})
    assert created.status_code == 200
    assert created.headers.get_list("access-control-allow-origin") == [SHOP]
    assert created.headers.get_list("access-control-allow-credentials") == ["true"]


def test_catch_all_mounts_and_static_files_do_not_hide_us(analytics: Analytics, framework: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("the shop")
    app = framework()
    app.mount("/", StaticFiles(directory=tmp_path, html=True))
    analytics.install(app)
    assert create(app).status_code == 200
    assert TestClient(app).get("/").text == "the shop"


def test_install_twice_is_install_once(analytics: Analytics, framework: Any) -> None:
    seen: list[Event] = []
    analytics.on()(seen.append)
    app = framework()
    analytics.install(app)
    analytics.install(app)
    assert len(app.user_middleware) == 1
    assert create(app).status_code == 200
    assert len(seen) == 1


def test_two_analytics_in_one_application(analytics: Analytics, framework: Any, tmp_path: Path) -> None:
    second = Analytics(storage=f"sqlite:///{tmp_path}/second.db", prefix="/second", **default_options())
    app = framework()
    analytics.install(app)
    second.install(app)
    assert create(app).status_code == create(app, "/second/events").status_code == 200
    second.close()


def test_install_after_the_start_says_so(analytics: Analytics, framework: Any) -> None:
    app = framework()
    assert create(app).status_code == 404
    with pytest.raises(ConfigurationError, match="first request"):
        analytics.install(app)


def test_install_into_another_framework_says_what_to_write() -> None:
    from flask import Flask

    for other in (Flask("shop"), object()):
        with pytest.raises(ConfigurationError, match=r"init_app|asgi"):
            Analytics().install(other)  # type: ignore[arg-type]


def test_the_router_is_in_the_hosts_openapi(analytics: Analytics) -> None:
    app = FastAPI()
    app.include_router(analytics.router())
    document = app.openapi()
    described = {(path, method) for path, operations in document["paths"].items() for method in operations}
    # All that is answered, and nothing else: a new endpoint is described, too.
    assert described == {
        (f"/api/analytics/{below}".replace(":path}", "}"), method.lower())
        for below, methods in ROUTES.items()
        for method in methods
        if method != "HEAD"
    }
    assert {(EVENTS, "get"), (EVENTS, "post"), (f"{EVENTS}/batch", "post")} <= described
    create_event = document["paths"][EVENTS]["post"]
    schema = create_event["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) >= {"eventType", "orgId", "sessionId", "configId", "metric"}
    assert set(schema["required"]) == {"eventType", "orgId", "sessionId"}
    assert {"200", "401", "422"} <= set(create_event["responses"])
    assert TestClient(app).get("/openapi.json").status_code == 200
    assert TestClient(app).get("/docs").status_code == 200
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)


def test_aliases_are_served_and_not_documented(analytics: Analytics, tmp_path: Path) -> None:
    aliased = Analytics(storage=f"sqlite:///{tmp_path}/second.db", aliases=["/signals"], **default_options())
    app = FastAPI()
    app.include_router(aliased.router())
    assert create(app, "/signals/events").status_code == 200
    assert "/signals/events" not in app.openapi()["paths"]
    aliased.close()


def test_a_router_may_be_included_under_a_prefix(analytics: Analytics) -> None:
    app = FastAPI()
    app.include_router(analytics.router(), prefix="/v1")
    response = create(app, f"/v1{EVENTS}")
    assert response.status_code == 200
    assert response.json()["requestUrl"] == f"http://testserver/v1{EVENTS}"


def test_dependencies_and_their_overrides_reach_the_router(analytics: Analytics) -> None:
    def closed() -> None:
        raise HTTPException(418, "closed")

    app = FastAPI()
    app.include_router(analytics.router(dependencies=[Depends(closed)]))
    assert create(app).status_code == 418
    app.dependency_overrides[closed] = lambda: None
    assert create(app).status_code == 200


def test_dependencies_of_the_application_reach_the_router(analytics: Analytics) -> None:
    called: list[int] = []
    app = FastAPI(dependencies=[Depends(lambda: called.append(1))])
    app.include_router(analytics.router())
    assert create(app).status_code == 200
    assert called == [1]


def test_a_beacon_with_a_text_reaches_the_router(analytics: Analytics) -> None:
    app = FastAPI()
    app.include_router(analytics.router())
    response = TestClient(app).post(
        f"{EVENTS}?bearer_token={PUBLIC}",
        content=json.dumps(an_event()),
        headers={"Content-Type": "text/plain;charset=UTF-8", "Origin": SHOP},
    )
    assert response.status_code == 200


def test_the_hosts_exception_handlers_keep_their_own_errors(analytics: Analytics, framework: Any) -> None:
    async def handler(request: Any, error: Exception) -> Response:
        return PlainTextResponse("host's page", 404)

    app = framework(exception_handlers={404: handler})
    analytics.install(app)
    client = TestClient(app)
    assert client.get("/nothing").text == "host's page"
    assert client.get("/api/analytics/nothing").headers["content-type"].startswith("application/problem+json")


def test_after_hooks_run_when_the_answer_has_been_sent(analytics: Analytics, framework: Any) -> None:
    order: list[str] = []
    analytics.on()(lambda event: order.append("after"))

    @analytics.on(when="inline")
    async def inline(event: Event) -> None:
        order.append("inline")

    app = framework()
    analytics.install(app)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            order.append(message["type"])
            await send(message)

        await app(scope, receive, sending)

    body = json.dumps(an_event()).encode()
    assert call_asgi(watched, scope_of("POST", EVENTS, "", AS_SERVER.items()), body).status == 200
    assert order == ["inline", "http.response.start", "http.response.body", "after"]


def test_hooks_see_the_context_variables_of_the_request(analytics: Analytics) -> None:
    from contextvars import ContextVar

    user: ContextVar[str] = ContextVar("user", default="nobody")
    seen: list[str] = []
    analytics.on(when="inline")(lambda event: seen.append(user.get()))

    @analytics.on(when="inline")
    async def inline(event: Event) -> None:
        seen.append(user.get())

    class Login:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            token = user.set("jane")
            try:
                await self.app(scope, receive, send)
            finally:
                user.reset(token)

    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("x"))])
    analytics.install(app)
    app.add_middleware(Login)
    assert create(app).status_code == 200
    assert seen == ["jane", "jane"]


@pytest.mark.parametrize("first", ["middleware", "analytics"])
def test_function_middleware_of_the_host_passes_us_on(analytics: Analytics, first: str) -> None:
    seen: list[str] = []
    analytics.on()(lambda event: seen.append(event.id))

    async def timing(request: Any, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-timing"] = "1"
        return response

    app = FastAPI()
    steps: list[Callable[[FastAPI], Any]] = [lambda app: app.middleware("http")(timing), analytics.install]
    for step in steps if first == "middleware" else reversed(steps):
        step(app)
    response = create(app)
    assert (response.status_code, response.headers["x-timing"]) == (200, "1")
    assert seen == [response.json()["id"]]


@pytest.mark.parametrize("path", ["/ws", EVENTS])
def test_websockets_are_the_hosts_on_our_paths_too(analytics: Analytics, framework: Any, path: str) -> None:
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text() * 2)
        await websocket.close()

    app = framework(routes=[WebSocketRoute(path, echo)])
    analytics.install(app)
    with TestClient(app).websocket_connect(path) as websocket:
        websocket.send_text("ab")
        assert websocket.receive_text() == "abab"


def test_streams_and_background_tasks_of_the_host_are_the_same_with_and_without_us(
    analytics: Analytics, framework: Any
) -> None:
    ran: list[int] = []

    async def stream(request: Any) -> Response:
        async def pieces() -> AsyncIterator[str]:
            for number in range(3):
                yield f"data: {number}\n\n"

        task = BackgroundTask(ran.append, 1)
        return StreamingResponse(pieces(), media_type="text/event-stream", background=task)

    answers = []
    for install in (analytics.install, lambda app: None):
        app = framework(routes=[Route("/stream", stream)])
        install(app)
        response = TestClient(app).get("/stream")
        answers.append((response.status_code, response.headers.raw, response.content))
    assert answers[0] == answers[1]
    assert answers[0][2] == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert ran == [1, 1]
