"""What only Flask has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask, current_app, request, session
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, TestResponse

from tests.hosts.base import EVENTS, PRIVATE, RIVAL_PRIVATE, an_event, default_options
from tk_analytics_mw import Analytics, ConfigurationError, Event

AS_SERVER = {"Authorization": f"Bearer {PRIVATE}"}


@pytest.fixture
def analytics(tmp_path: Path) -> Any:
    made = Analytics(storage=f"sqlite:///{tmp_path}/analytics.db", **default_options())
    yield made
    made.close()


def shop(name: str = "shop", **config: Any) -> Flask:
    app = Flask(name)
    app.config.update(SECRET_KEY="only-for-tests", **config)

    @app.post("/cart")
    def cart() -> str:
        return "in the cart"

    return app


def create(app: Flask, body: dict[str, Any] | None = None, **how: Any) -> TestResponse:
    return app.test_client().post(EVENTS, json=body or an_event(), **{"headers": AS_SERVER, "buffered": True, **how})


def test_init_app_twice_stores_one_row_and_calls_a_hook_once(analytics: Analytics) -> None:
    seen: list[Event] = []
    analytics.on()(seen.append)
    app = shop()
    analytics.init_app(app)
    wrapped = app.wsgi_app
    analytics.init_app(app)
    assert app.wsgi_app is wrapped
    assert create(app).status_code == 200
    assert len(seen) == 1


def test_two_applications_share_one_analytics_and_its_hooks_but_no_settings(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    analytics = Analytics()
    analytics.on()(lambda event: seen.append((current_app.name, event.org_id)))
    apps = {}
    for org, token, prefix in (("acme", PRIVATE, "/one"), ("rival", RIVAL_PRIVATE, "/two")):
        config = {
            "STORAGE": f"sqlite:///{tmp_path}/{org}.db",
            "TOKENS": [{"token": token, "org_id": org}],
            "PREFIX": prefix,
        }
        apps[org] = shop(org, TK_ANALYTICS=config)
        analytics.init_app(apps[org])
    for org, token, prefix, other in (("acme", PRIVATE, "/one", "/two"), ("rival", RIVAL_PRIVATE, "/two", "/one")):
        client = apps[org].test_client()
        headers = {"Authorization": f"Bearer {token}"}
        created = client.post(f"{prefix}/events", json=an_event(orgId=org), headers=headers, buffered=True)
        assert created.status_code == 200
        assert client.post(f"{other}/events", json=an_event(orgId=org), headers=headers).status_code == 404
        foreign = {"Authorization": f"Bearer {RIVAL_PRIVATE if token == PRIVATE else PRIVATE}"}
        assert client.post(f"{prefix}/events", json=an_event(orgId=org), headers=foreign).status_code == 401
    assert seen == [("acme", "acme"), ("rival", "rival")]
    for org, app in apps.items():
        with app.app_context():
            assert analytics.record("product ordered", org_id=org, session_id="s").org_id == org
            analytics.close()
    assert seen[2:] == [("acme", "acme"), ("rival", "rival")]
    with pytest.raises(ConfigurationError, match="app_context"):
        analytics.record("product ordered", org_id="acme", session_id="s")


def test_an_application_factory_reads_the_configuration_when_it_is_called(tmp_path: Path) -> None:
    analytics = Analytics()

    def create_app() -> Flask:
        app = shop(TK_ANALYTICS={"storage": f"sqlite:///{tmp_path}/a.db", **default_options()})
        analytics.init_app(app)
        return app

    first, second = create_app(), create_app()
    assert create(first).status_code == create(second).status_code == 200
    for app in (first, second):
        with app.app_context():
            analytics.close()


def test_init_app_after_the_first_request_works(analytics: Analytics) -> None:
    app = shop()
    assert create(app).status_code == 404
    analytics.init_app(app)
    assert create(app).status_code == 200


def test_the_configuration_may_be_in_capitals_or_not(tmp_path: Path) -> None:
    for spell in (str.upper, str.lower):
        analytics = Analytics(storage=f"sqlite:///{tmp_path}/{spell.__name__}.db")
        app = shop(TK_ANALYTICS={spell("tokens"): default_options()["tokens"], spell("prefix"): "/signals"})
        analytics.init_app(app)
        assert app.test_client().post("/signals/events", json=an_event(), headers=AS_SERVER).status_code == 200
        analytics.close()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"PREFIXX": "/x"}, "PREFIXX"),
        ({"domains": []}, "domains"),
        ({"MAX_BODY_BYTES": 0}, "MAX_BODY_BYTES"),
        ({"PREFIX": "api"}, "PREFIX"),
        ({"DURABILITY": "maybe"}, "DURABILITY"),
        ({"TOKENS": "x"}, "TOKENS"),
        ({"PRIVATE_ONLY": ["product explode"]}, "private_only"),
        ({"STORAGE": "nosuch://x"}, "nosuch"),
        ({"AUTHENTICATOR": 7}, "authenticator"),
        ([], None),
    ],
)
def test_an_unknown_or_invalid_setting_stops_start_up_and_is_named(config: Any, named: str | None) -> None:
    app = shop(TK_ANALYTICS=config)
    if named is None:
        config.append("x")
    with pytest.raises(ConfigurationError, match=named and f"(?i){named}"):
        Analytics().init_app(app)


def test_a_hook_sees_the_application_and_the_request_is_over(analytics: Analytics) -> None:
    seen: list[Any] = []
    analytics.on()(lambda event: seen.append((current_app.name, bool(request))))

    @analytics.on(when="inline")
    async def inline(event: Event) -> None:
        seen.append((current_app.name, bool(request)))

    app = shop()
    analytics.init_app(app)
    create(app)
    assert seen == [("shop", False), ("shop", False)]
    assert not current_app, "no context is left behind"


def test_the_hosts_own_before_request_functions_do_not_run_for_us(analytics: Analytics) -> None:
    app = shop()
    app.before_request(lambda: ("closed", 418))
    app.register_error_handler(404, lambda error: ("host's page", 404))
    analytics.init_app(app)
    assert create(app).status_code == 200
    assert app.test_client().post("/cart").status_code == 418
    assert b"host's page" not in app.test_client().get("/api/analytics/nothing").data


def test_the_test_client_and_the_session_of_the_host_still_work(analytics: Analytics) -> None:
    app = shop()

    @app.get("/login")
    def login() -> str:
        session["user"] = "jane"
        return "hello"

    @app.get("/me")
    def me() -> str:
        return str(session.get("user"))

    analytics.init_app(app)
    with app.test_client() as client:
        client.get("/login")
        assert client.post(EVENTS, json=an_event(), headers=AS_SERVER).status_code == 200
        assert client.get("/me").text == "jane"
    assert app.test_client().post("/cart").text == "in the cart"


@pytest.mark.parametrize("first", ["csrf", "analytics"])
def test_csrf_protection_guards_the_host_and_leaves_us_alone(analytics: Analytics, first: str) -> None:
    app = shop()
    steps: list[Callable[[Flask], Any]] = [CSRFProtect().init_app, analytics.init_app]
    for step in steps if first == "csrf" else reversed(steps):
        step(app)
    assert create(app).status_code == 200
    assert app.test_client().post("/cart").status_code == 400


def test_under_a_dispatcher_the_api_is_below_its_mount(analytics: Analytics) -> None:
    app = shop()
    analytics.init_app(app)
    client = Client(DispatcherMiddleware(Flask("site"), {"/shop": app.wsgi_app}))
    response = client.post(f"/shop{EVENTS}", base_url="http://www.test", json=an_event(), headers=AS_SERVER)
    assert response.status_code == 200
    assert response.json["requestUrl"] == f"http://www.test/shop{EVENTS}"
    assert client.post(EVENTS, json=an_event(), headers=AS_SERVER).status_code == 404
    assert client.post("/shop/cart").text == "in the cart"


def test_an_application_that_is_mounted_at_the_prefix_itself(analytics: Analytics) -> None:
    client = Client(DispatcherMiddleware(Flask("site"), {"/api/analytics": analytics.wsgi()}))
    assert client.post(EVENTS, json=an_event(), headers=AS_SERVER).status_code == 200
    assert client.post("/elsewhere/events", json=an_event(), headers=AS_SERVER).status_code == 404


@pytest.mark.parametrize("first", ["proxy", "analytics"])
def test_behind_proxy_fix_the_request_url_is_the_browsers(analytics: Analytics, first: str) -> None:
    app = shop()

    def trust_proxy(app: Flask) -> None:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1, x_proto=1, x_prefix=1)  # type: ignore[method-assign]

    steps = [trust_proxy, analytics.init_app]
    for step in steps if first == "proxy" else reversed(steps):
        step(app)
    forwarded = {"X-Forwarded-Host": "www.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9"}
    response = create(app, headers={**AS_SERVER, **forwarded})
    assert response.json["requestUrl"] == f"https://www.example.com{EVENTS}"


def test_without_proxy_fix_nobody_is_believed(analytics: Analytics) -> None:
    app = shop()
    analytics.init_app(app)
    forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
    response = create(app, headers={**AS_SERVER, **forwarded})
    assert response.json["requestUrl"] == f"http://localhost{EVENTS}"


def test_max_content_length_holds_for_us_too(analytics: Analytics) -> None:
    app = shop(MAX_CONTENT_LENGTH=200)
    analytics.init_app(app)
    assert create(app).status_code == 200
    assert create(app, an_event(userId="x" * 200)).status_code == 413
    batch = app.test_client().post(f"{EVENTS}/batch", json={"events": [an_event()] * 3}, headers=AS_SERVER)
    assert batch.status_code == 413


def test_a_generous_max_content_length_does_not_loosen_our_own_bound(analytics: Analytics) -> None:
    app = shop(MAX_CONTENT_LENGTH=10_000_000)
    analytics.init_app(app)
    assert create(app, an_event(eventMetadata={"a": "x" * 70_000})).status_code == 413


def test_an_after_hook_runs_when_the_answer_has_been_passed_on(analytics: Analytics) -> None:
    seen: list[str] = []
    analytics.on()(lambda event: seen.append("after"))
    analytics.on(when="inline")(lambda event: seen.append("inline"))
    app = shop()
    analytics.init_app(app)
    response = app.test_client().post(EVENTS, json=an_event(), headers=AS_SERVER, buffered=False)
    assert response.status_code == 200
    assert seen == ["inline"]
    response.close()
    assert seen == ["inline", "after"]


def test_the_environment_is_asked_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TK_ANALYTICS_PREFIX", "/from-environment")
    monkeypatch.setenv("TK_ANALYTICS_ALIASES", "/alias")
    monkeypatch.setenv("TK_ANALYTICS_TOKENS", f'[{{"token": "{PRIVATE}", "org_id": "acme"}}]')
    monkeypatch.setenv("TK_ANALYTICS_STORAGE", f"sqlite:///{tmp_path}/a.db")
    analytics = Analytics()
    app = shop(TK_ANALYTICS={"PREFIX": "/from-flask"})
    analytics.init_app(app)
    client = app.test_client()
    answers = {
        path: client.post(f"{path}/events", json=an_event(), headers=AS_SERVER).status_code
        for path in ("/from-flask", "/alias", "/from-environment")
    }
    assert answers == {"/from-flask": 200, "/alias": 200, "/from-environment": 404}
    analytics.close()


def test_an_unknown_environment_variable_stops_start_up_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TK_ANALYTICS_PREFIXX", "/x")
    with pytest.raises(ConfigurationError, match="TK_ANALYTICS_PREFIXX"):
        Analytics()


def test_init_app_of_another_framework_says_what_to_write() -> None:
    for other in (FastAPI(), object()):
        with pytest.raises(ConfigurationError, match=r"install|asgi"):
            Analytics().init_app(other)  # type: ignore[arg-type]
