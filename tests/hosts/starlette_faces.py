"""FastAPI and Starlette through their test client, which sends no lifespan when it is not entered."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.hosts.base import Host, Register, Reply
from tk_analytics_mw import Analytics

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def page(request: Request) -> PlainTextResponse:
    """Answer every path."""
    return PlainTextResponse(f"host: {request.method} {request.url.path}")


class FastapiInstall(Host):
    face = "fastapi_install"

    def build(self, options: dict[str, Any], register: Register) -> Analytics:
        self.app: Starlette = FastAPI()
        self.app.add_route("/{path:path}", page, methods=METHODS)
        analytics = Analytics(**options)
        register(analytics)
        analytics.install(self.app)
        return analytics

    def send(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        client = TestClient(self.app, follow_redirects=False)
        url = f"{path}?{query}" if query else path
        sent = {name: value.encode("latin-1") for name, value in headers.items()}
        response = client.request(method, url, headers=sent, content=body)
        raw = [(name.lower(), value) for name, value in response.headers.raw]
        return Reply(response.status_code, Headers(raw=raw), response.content)


class FastapiRouter(FastapiInstall):
    face = "fastapi_router"

    def build(self, options: dict[str, Any], register: Register) -> Analytics:
        app = FastAPI()
        analytics = Analytics(**options)
        register(analytics)
        app.include_router(analytics.router())
        app.add_route("/{path:path}", page, methods=METHODS)
        self.app = app
        return analytics


class StarletteInstall(FastapiInstall):
    face = "starlette_install"

    def build(self, options: dict[str, Any], register: Register) -> Analytics:
        self.app = Starlette(routes=[Route("/{path:path}", page, methods=METHODS)])
        analytics = Analytics(**options)
        register(analytics)
        analytics.install(self.app)
        return analytics
