"""Plain ASGI, driven by hand on both kinds of event loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.hosts.base import Host, Register, Reply
from tk_analytics_mw import Analytics


async def asgi_shop(scope: Scope, receive: Receive, send: Send) -> None:
    """A shop that answers every path."""
    assert scope["type"] == "http"
    body = f"host: {scope['method']} {scope['path']}".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def scope_of(
    method: str, path: str, query: str, headers: Iterable[tuple[str, str]], *, root_path: str = "", scheme: str = "http"
) -> Scope:
    """What a server would make of a request's head. A header may be there twice."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "root_path": root_path,
        "query_string": query.encode("latin-1"),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": ("203.0.113.7", 50_000),
        "server": ("127.0.0.1", 8000),
    }


async def exchange(app: ASGIApp, scope: Scope, incoming: Sequence[Message]) -> list[Message]:
    """Run one connection; give what the application sent. After ``incoming`` the client is silent."""
    sent: list[Message] = []
    waiting = list(incoming)

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def reply_of(sent: Sequence[Message]) -> Reply:
    """Put the messages of an answer together, and check that they are one answer."""
    start, *parts = sent
    assert start["type"] == "http.response.start"
    assert all(part["type"] == "http.response.body" for part in parts)
    assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False], parts
    raw = [(bytes(name).lower(), bytes(value)) for name, value in start["headers"]]
    return Reply(start["status"], Headers(raw=raw), b"".join(part.get("body", b"") for part in parts))


def call_asgi(app: ASGIApp, scope: Scope, body: bytes = b"", *, backend: str = "asyncio", chunk: int = 20_000) -> Reply:
    """Do what a server does: the body comes in pieces."""
    pieces = [body[start : start + chunk] for start in range(0, len(body), chunk)] or [b""]
    incoming: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, start=1)
    ]
    return reply_of(anyio.run(exchange, app, scope, incoming, backend=backend))


class AsgiAsyncio(Host):
    face = "asgi_asyncio"
    backend: ClassVar[str] = "asyncio"

    def build(self, options: dict[str, Any], register: Register) -> Analytics:
        analytics = Analytics(**options)
        register(analytics)
        self.app: ASGIApp = analytics.asgi(asgi_shop)
        return analytics

    def send(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        head = {"Content-Length": str(len(body)), **headers}
        return call_asgi(self.app, scope_of(method, path, query, head.items()), body, backend=self.backend)


class AsgiTrio(AsgiAsyncio):
    face = "asgi_trio"
    backend = "trio"
