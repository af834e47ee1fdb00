"""Plain WSGI, with the standard library's validator between the server and us, and between us and the host."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from starlette.datastructures import Headers

from tests.hosts.base import Host, Register, Reply
from tk_analytics_mw import Analytics

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def wsgi_shop(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A shop that answers every path."""
    body = f"host: {environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


def environ_of(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """What a server would make of a request."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.7",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    setup_testing_defaults(environ)
    return environ


def call_wsgi(app: WsgiApp, environ: dict[str, Any]) -> Reply:
    """Do what a server does."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        started.append((status, headers))
        return written.append

    answer = app(environ, start_response)
    try:
        written.extend(answer)
    finally:
        close = getattr(answer, "close", None)
        if close is not None:
            close()
    status, headers = started[-1]
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return Reply(int(status[:3]), Headers(raw=raw), b"".join(written))


class WsgiValidate(Host):
    face = "wsgi_validate"

    def build(self, options: dict[str, Any], register: Register) -> Analytics:
        analytics = Analytics(**options)
        register(analytics)
        self.app = validator(analytics.wsgi(validator(wsgi_shop)))
        return analytics

    def send(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        return call_wsgi(self.app, environ_of(method, path, query, headers, body))
