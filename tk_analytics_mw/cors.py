"""What browsers ask before and after: CORS, for the allowed domains and for nobody else.

A beacon always sends credentials, so an allowed origin is told by name that they are allowed, never
with ``*``. A session of the host counts on its own pages only, so it is opened to nobody else.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from starlette.responses import Response

from tk_analytics_mw.access import authenticate
from tk_analytics_mw.errors import AnalyticsError
from tk_analytics_mw.messages import Request, empty_response
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.waiting import Waits

MAX_AGE: Final = b"7200"
"""Seconds that a browser may remember a preflight: Chromium keeps none longer."""

REQUEST_HEADERS: Final = b"Content-Type, Idempotency-Key"


async def preflight(request: Request, parts: Parts, waits: Waits, allow: str) -> Response:
    """Answer ``OPTIONS``: what methods there are, and to an allowed origin that it may use them."""
    response = empty_response()
    response.raw_headers.append((b"allow", allow.encode()))
    if request.header(b"access-control-request-method") is not None:
        # The token is in the query, here too. Where it is not, the domains of all public tokens decide.
        with suppress(AnalyticsError):
            await authenticate(request, parts, waits)
        response.raw_headers += (
            (b"access-control-allow-methods", allow.encode()),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", MAX_AGE),
        )
    return response


def add_origin(response: Response, request: Request, parts: Parts) -> None:
    """Tell an allowed origin that its page may read this answer."""
    origin = request.allowed_origin
    if origin is None:
        if request.principal is not None and request.principal.kind == "session":
            return
        origin = request.header(b"origin")
        if origin is None or not parts.tokens.allows(origin):
            return
    response.raw_headers += (
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
    )
