"""The logins that frameworks really have: Django's, Flask-Login's and Flask's session, Starlette's session."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, session
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.hosts.base import EVENTS, PUBLIC, SHOP, an_event, default_options
from tests.serving import serving
from tk_analytics_mw import Analytics, Principal
from tk_analytics_mw.flask import FlaskSessionAuthenticator

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
PAGE = {"Origin": SHOP}


def stored_users(database: Path) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return [user for (user,) in connection.execute("SELECT user_id FROM events ORDER BY id")]


class Browser:
    """Keeps its cookies."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, HTTPResponse]:
        head = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            head["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        with closing(HTTPConnection(*self.address, timeout=60)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), head)
            response = connection.getresponse()
            text = response.read().decode()
        for cookie in response.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response.status, json.loads(text) if text[:1] in "{[" else text, response


FOLDER = Path(__file__).parent


def surroundings(place: str, shop: Path, analytics: Path) -> dict[str, str]:
    return {
        "PLACE": place,
        "SHOP_DATABASE": str(shop),
        "TK_ANALYTICS_STORAGE": f"sqlite:///{analytics}",
        "PYTHONPATH": f"{FOLDER}{os.pathsep}{FOLDER.parents[1]}",
    }


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Django database with two users, to be copied."""
    folder = tmp_path_factory.mktemp("users")
    environment = surroundings("first", folder / "shop.db", folder / "analytics.db")
    subprocess.run(
        [sys.executable, "django_site.py"], cwd=FOLDER, env={**os.environ, **environment}, check=True, timeout=60
    )
    return folder / "shop.db"


@pytest.fixture(params=["wsgi-first", "wsgi-last", "asgi-first", "asgi-last"])
def django_site(request: pytest.FixtureRequest, tmp_path: Path, users: Path) -> Iterator[tuple[tuple[str, int], Path]]:
    """A Django project on a real server, our line before or behind Django's own middleware."""
    kind, _, place = request.param.partition("-")
    database = tmp_path / "analytics.db"
    shutil.copy(users, tmp_path / "shop.db")
    server = ("gunicorn", "--bind", "127.0.0.1:{port}", "--threads", "4", "django_site:wsgi")
    if kind == "asgi":
        server = ("uvicorn", "--port", "{port}", "--lifespan", "off", "django_site:asgi")
    environment = surroundings(place, tmp_path / "shop.db", database)
    with serving(*server, folder=FOLDER, environment=environment) as address:
        yield address, database


def test_django_knows_staff_and_shoppers_wherever_our_line_stands(django_site: Any) -> None:
    address, database = django_site
    staff, shopper, nobody = Browser(address), Browser(address), Browser(address)
    staff_id, shopper_id = staff.ask("GET", "/login/staff")[1], shopper.ask("GET", "/login/shopper")[1]
    created = f"{EVENTS}?bearer_token=pub-1"
    # The verified user.
    assert shopper.ask("POST", created, an_event(userId="forged"), **PAGE)[1]["userId"] == shopper_id
    assert staff.ask("POST", created, an_event(), **PAGE)[1]["userId"] == staff_id
    assert "userId" not in nobody.ask("POST", created, an_event(userId="forged"), **PAGE)[1]
    assert "userId" not in shopper.ask("POST", created, an_event(), Sec_GPC="1", **PAGE)[1]
    server = nobody.ask("POST", EVENTS, an_event(userId="joe"), Authorization="Bearer prv-1")[1]
    assert server["userId"] == "joe"
    # The back office.
    own = {"Sec_Fetch_Site": "same-origin"}
    status, listed, response = staff.ask("GET", EVENTS, **own)
    assert (status, listed["count"]) == (200, 5)
    assert response.headers["access-control-allow-origin"] is None
    assert staff.ask("POST", EVENTS, an_event(), **own)[1]["userId"] == staff_id
    assert shopper.ask("GET", EVENTS, **own)[0] == 401, "logged in, and speaks for nobody"
    assert nobody.ask("GET", EVENTS, **own)[0] == 401
    forged = Browser(address)
    forged.cookies = {"sessionid": "made-up"}
    assert forged.ask("GET", EVENTS, **own)[0] == 401
    for foreign in ({"Origin": SHOP}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {}):
        status, _, response = staff.ask("POST", EVENTS, an_event(), **foreign)
        assert (status, response.headers["access-control-allow-origin"]) == (401, None), foreign
    assert stored_users(database) == [shopper_id, staff_id, None, None, "joe", staff_id]


def test_django_whose_session_store_is_away_lets_nobody_in(django_site: Any, tmp_path: Path) -> None:
    address, database = django_site
    staff = Browser(address)
    staff.ask("GET", "/login/staff")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("DROP TABLE django_session")
    status, _, response = staff.ask("GET", EVENTS, Sec_Fetch_Site="same-origin")
    assert (status, response.headers["retry-after"]) == (503, "1")
    assert staff.ask("POST", f"{EVENTS}?bearer_token=pub-1", an_event(), **PAGE)[0] == 503
    assert staff.ask("POST", EVENTS, an_event(), Authorization="Bearer prv-1")[0] == 200
    assert stored_users(database) == [None]


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


@pytest.fixture
def flask_app(tmp_path: Path) -> Iterator[Flask]:
    """A Flask application with Flask-Login, and a teardown function that notes what it cleaned up."""
    app = Flask("shop")
    app.secret_key = "only-for-tests"
    LoginManager(app).user_loader(User)

    @app.get("/login/<name>")
    def log_in(name: str) -> str:
        login_user(User(name))
        session["staff"] = name == "staff"
        return name

    @app.get("/logout")
    def log_out() -> str:
        logout_user()
        session.clear()
        return ""

    def organisation(request: Any) -> str | None:
        assert request.path.startswith("/api/analytics/")
        return "acme" if session.get("staff") and current_user.is_authenticated else None

    analytics = Analytics(
        storage=f"sqlite:///{tmp_path}/analytics.db",
        authenticator=FlaskSessionAuthenticator(organisation),
        identify="flask-login",
        **default_options(),
    )
    analytics.init_app(app)
    yield app
    analytics.close()


def test_flask_login_knows_the_user_and_flasks_session_the_staff(flask_app: Flask, tmp_path: Path) -> None:
    created = f"{EVENTS}?bearer_token={PUBLIC}"
    client = flask_app.test_client()

    def create(path: str, headers: dict[str, str]) -> Any:
        return client.post(path, json=an_event(userId="forged"), headers=headers, buffered=True)

    assert "userId" not in create(created, PAGE).json
    assert create(EVENTS, OWN_PAGE).status_code == 401
    client.get("/login/shopper")
    assert create(created, PAGE).json["userId"] == "shopper"
    assert create(EVENTS, OWN_PAGE).status_code == 401
    client.get("/login/staff")
    assert create(EVENTS, OWN_PAGE).json["userId"] == "staff"
    assert client.get(EVENTS, headers=OWN_PAGE).json["count"] == 3
    for foreign in (PAGE, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {}):
        reply = create(EVENTS, foreign)
        assert (reply.status_code, reply.headers.get("Access-Control-Allow-Origin")) == (401, None), foreign
    client.get("/logout")
    assert create(EVENTS, OWN_PAGE).status_code == 401
    assert stored_users(tmp_path / "analytics.db") == [None, "shopper", "staff"]


def test_a_session_with_another_key_is_nobodys(flask_app: Flask) -> None:
    forger = Flask("forger")
    forger.secret_key = "another"
    with forger.test_request_context():
        value = forger.session_interface.get_signing_serializer(forger).dumps({"staff": True, "_user_id": "staff"})
    headers = {**OWN_PAGE, "Cookie": f"session={value}"}
    assert flask_app.test_client(use_cookies=False).get(EVENTS, headers=headers).status_code == 401


def test_flask_whose_user_store_is_away_lets_nobody_in(flask_app: Flask) -> None:
    client = flask_app.test_client()
    client.get("/login/staff")

    def away(_: str) -> None:
        raise OSError("the database is away")

    flask_app.login_manager.user_loader(away)
    assert client.get(EVENTS, headers=OWN_PAGE).status_code == 503
    reply = client.post(f"{EVENTS}?bearer_token={PUBLIC}", json=an_event(), headers=PAGE)
    assert reply.status_code == 503


def test_starlettes_session_is_a_function_away(tmp_path: Path) -> None:
    async def log_in(request: Request) -> JSONResponse:
        request.session["user"] = request.path_params["name"]
        return JSONResponse("in")

    def staff(request: Any) -> Principal | None:
        return Principal("acme", kind="session") if request.session.get("user") == "staff" else None

    analytics = Analytics(
        storage=f"sqlite:///{tmp_path}/analytics.db",
        authenticator=staff,
        identify=lambda request: request.session.get("user"),
        **default_options(),
    )
    app = Starlette(
        routes=[Route("/login/{name}", log_in)],
        middleware=[Middleware(SessionMiddleware, secret_key="only-for-tests")],
    )
    analytics.install(app)
    with TestClient(app) as client:
        assert client.get(EVENTS, headers=OWN_PAGE).status_code == 401
        client.get("/login/staff")
        assert client.post(EVENTS, json=an_event(userId="forged"), headers=OWN_PAGE).json()["userId"] == "staff"
        assert client.get(EVENTS, headers=OWN_PAGE).json()["count"] == 1
        assert client.post(EVENTS, json=an_event(), headers=PAGE).status_code == 401
    analytics.close()
