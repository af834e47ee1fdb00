"""Flask: its own test client, and WebTest, which checks every word between server and application."""

from __future__ import annotations

import warnings
from typing import Any

from flask import Flask, Response
from flask import request as flask_request
from starlette.datastructures import Headers

from tests.hosts.base import HOST, Host, Register, Reply
from tk_analytics_mw import Analytics

with warnings.catch_warnings():  # WebOb still imports cgi
    warnings.simplefilter("ignore", DeprecationWarning)
    from webtest import TestApp

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def flask_shop() -> Flask:
    """A shop that answers every path."""
    app = Flask("shop")

    @app.route("/", defaults={"path": ""}, methods=METHODS)
    @app.route("/<path:path>", methods=METHODS)
    def page(path: str) -> Response:
        return Response(f"host: {flask_request.method} {flask_request.path}", mimetype="text/plain")

    return app


class FlaskClient(Host):
    face = "flask_client"

    def build(self, options: dict[str, Any], register: Register) -> Analytics:
        self.app = flask_shop()
        analytics = Analytics(**options)
        register(analytics)
        analytics.init_app(self.app)
        return analytics

    def send(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        client = self.app.test_client(use_cookies=False)
        with client.open(
            path,
            base_url=f"http://{headers['Host']}",
            method=method,
            query_string=query,
            headers=headers,
            data=body,
            buffered=True,
        ) as response:
            return Reply(response.status_code, Headers(dict(response.headers)), response.data)


class FlaskWebTest(FlaskClient):
    face = "flask_webtest"

    def send(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        door = TestApp(self.app, lint=True, extra_environ={"HTTP_HOST": HOST})
        url = f"{path}?{query}" if query else path
        response = door.request(url, method=method, headers=headers, body=body, status="*", expect_errors=True)
        return Reply(response.status_int, Headers(dict(response.headers)), response.body)
