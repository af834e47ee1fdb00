"""Starlette's and FastAPI's spelling: ``analytics.install(app)`` and ``analytics.router()``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tk_analytics_mw.asgi import AnalyticsMiddleware
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.parts import Parts

if TYPE_CHECKING:
    from fastapi import APIRouter
    from starlette.applications import Starlette

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def install(parts: Parts, app: Starlette) -> None:
    """Mount the API below all of the application's middleware. A second call changes nothing.

    Innermost, so that the host's CORS, session and proxy middleware sees our requests whether it is added
    before or after; and outside the router, so that no catch-all route or mount hides us.

    Raises:
        ConfigurationError: the application has started, or is of another framework.
    """
    middleware = getattr(app, "user_middleware", None)
    if middleware is None:
        raise ConfigurationError(
            f"install() is for Starlette and FastAPI; for a {type(app).__name__} write "
            "analytics.init_app(app) if it is Flask's, else app = analytics.asgi(app) or analytics.wsgi(app)"
        )
    if any(each.cls is AnalyticsMiddleware and each.kwargs.get("parts") is parts for each in middleware):
        return
    if getattr(app, "middleware_stack", None) is not None:
        raise ConfigurationError("install() comes before the application's first request")
    middleware.append(Middleware(AnalyticsMiddleware, parts=parts))


def router(parts: Parts, **options: Any) -> APIRouter:
    """The API as a router, for ``app.include_router``.

    Raises:
        ConfigurationError: FastAPI is not installed.
    """
    try:
        from fastapi import APIRouter
    except ImportError:
        raise ConfigurationError("router() needs FastAPI: pip install 'tk_analytics_mw[fastapi]'") from None
    from tk_analytics_mw.openapi import OPERATIONS

    api = APIRouter(**{"tags": ["analytics"], **options})
    middleware = AnalyticsMiddleware(None, parts)

    def add(prefix: str, below: str | None, methods: Sequence[str], **route: Any) -> None:
        async def endpoint(request: Request) -> Response:
            captured = request.path_params
            return _Served(
                middleware, captured["below"] if below is None else below.replace(":path}", "}").format(**captured)
            )

        path = prefix + ("{below:path}" if below is None else below)
        api.add_api_route(path, endpoint, methods=list(methods), response_class=Response, response_model=None, **route)

    for (method, below), operation in OPERATIONS.items():
        add(parts.prefixes[0], below, [method], openapi_extra=operation)
    for prefix in parts.prefixes:  # aliases, preflights and what is not there
        add(prefix, None, METHODS, include_in_schema=False)
    return api


class _Served(Response):
    """An answer that is still to be made, from the request as the server gave it."""

    def __init__(self, middleware: AnalyticsMiddleware, below: str) -> None:
        super().__init__()
        self._middleware = middleware
        self._below = below

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._middleware(scope, receive, send, self._below)
