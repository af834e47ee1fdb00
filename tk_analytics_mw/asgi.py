"""The API in front of an ASGI application."""

from __future__ import annotations

from contextlib import aclosing, suppress
from functools import partial

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tk_analytics_mw.errors import Refused
from tk_analytics_mw.messages import Streamed
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.routes import answer, path_below, too_large
from tk_analytics_mw.waiting import Waits


class AnalyticsMiddleware:
    """Answers what is below the prefixes and hands everything else on, untouched.

    Args:
        app: the host application; ``None`` for none: everything else is then 404.
        parts: what to answer with.
    """

    def __init__(self, app: ASGIApp | None, parts: Parts) -> None:
        self.app = app or _nothing
        self.parts = parts
        self._prefixes = parts.prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send, below: str | None = None) -> None:
        """Handle one connection.

        Args:
            scope, receive, send: as of ASGI.
            below: the path below the prefix, if who calls knows it.
        """
        if scope["type"] == "http" and below is None:
            below = path_below(self._prefixes, scope["path"])
            if below is None and scope.get("root_path"):
                # Mounted: the path begins with where we are mounted, for servers and frameworks that say so.
                below = path_below(self._prefixes, scope["path"].removeprefix(scope["root_path"]))
        if below is None:
            await self.app(scope, receive, send)
            return
        try:
            response = await answer(self.parts, scope, below, partial(_read, receive), self.parts.awaiting)
        except ClientDisconnect:
            return  # nobody is left to answer, and nothing was stored
        if isinstance(response, Streamed):
            await _stream(response, self.parts.awaiting, scope, receive, send)
        else:
            await response(scope, receive, send)


async def _stream(answer: Streamed, waits: Waits, scope: Scope, receive: Receive, send: Send) -> None:
    async with aclosing(answer.chunks(waits)) as chunks:
        response = StreamingResponse(chunks)
        response.raw_headers = answer.raw_headers
        with suppress(ClientDisconnect):
            await response(scope, receive, send)


async def _read(receive: Receive, limit: int) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):  # nearly always
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        return body
    chunks: list[bytes] = []
    length = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        length += len(chunks[-1])
        if length > limit:
            raise too_large(limit)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        from tk_analytics_mw.problems import problem_from

        await problem_from(Refused("There is nothing at this path.", status=404)).as_response()(scope, receive, send)
