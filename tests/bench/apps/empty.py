"""Answers two bytes: what the servers themselves cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from starlette.types import Receive, Scope, Send


async def empty_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers two bytes and looks at nothing."""
    if scope["type"] == "http":
        headers = [(b"content-length", b"2"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


def empty_wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers two bytes and looks at nothing."""
    start_response("200 OK", [("Content-Length", "2"), ("Content-Type", "text/plain")])
    return [b"ok"]
