"""The API as Django middleware, in synchronous and asynchronous stacks alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from starlette.responses import Response

from tk_analytics_mw.django.configured import parts
from tk_analytics_mw.django.sessions import SCOPE_KEY
from tk_analytics_mw.errors import Refused
from tk_analytics_mw.messages import Streamed
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.problems import problem_from
from tk_analytics_mw.routes import answer, path_below, too_large
from tk_analytics_mw.waiting import Waits, iterate_blocking, run_blocking
from tk_analytics_mw.wsgi import Body, scope_from

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class AnalyticsMiddleware:
    """Answers what is below the prefixes and hands everything else on.

    Place it behind ``SecurityMiddleware`` and a CORS middleware if there is one. CSRF protection does not
    see our requests wherever it stands.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._parts = parts()
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Handle one request."""
        below = path_below(self._parts.prefixes, request.path_info)
        if below is None:
            return self.get_response(request)
        return serve_async(request, below, self._parts) if self._async else serve(request, below, self._parts)


def serve(request: HttpRequest, below: str, parts: Parts) -> HttpResponseBase:
    """Answer a request that is ours, in a thread."""
    response = run_blocking(_answer(request, below, parts, parts.blocking))
    return _streamed(request, response, parts) or _AnalyticsResponse(response, on_loop=False)


async def serve_async(request: HttpRequest, below: str, parts: Parts) -> HttpResponseBase:
    """Answer a request that is ours, on the event loop."""
    response = await _answer(request, below, parts, parts.awaiting)
    return _streamed(request, response, parts) or _AnalyticsResponse(response, on_loop=True)


def _streamed(request: HttpRequest, response: Response, parts: Parts) -> StreamingHttpResponse | None:
    if not isinstance(response, Streamed):
        return None
    # As the server wants it, whatever kind of view or middleware this is: of the other kind Django would collect
    # the whole answer before it sends any of it.
    on_loop = getattr(request, "environ", None) is None
    chunks: Any = response.chunks(parts.awaiting) if on_loop else iterate_blocking(response.chunks(parts.blocking))
    streamed = StreamingHttpResponse(chunks)
    _set_headers(streamed, response)
    return streamed


def _set_headers(ours: HttpResponseBase, response: Response) -> None:
    for name in list(ours.headers):
        del ours.headers[name]
    for name, value in response.raw_headers:
        ours.headers[name.decode("latin-1").title()] = value.decode("latin-1")


async def _answer(request: HttpRequest, below: str, parts: Parts, waits: Waits) -> Response:
    try:
        host = request.get_host()
    except DisallowedHost:
        return problem_from(Refused("This is not a host of this site.", status=400)).as_response()
    environ = getattr(request, "environ", None)  # under WSGI
    scope = dict(request.scope) if environ is None else scope_from(environ)
    scope[SCOPE_KEY] = request
    # As Django sees them, with SECURE_PROXY_SSL_HEADER and USE_X_FORWARDED_HOST.
    scope["scheme"] = request.scheme
    if isinstance(scope["query_string"], str):
        scope["query_string"] = scope["query_string"].encode("latin-1")  # Django's own asynchronous test client
    scope["headers"] = [*(pair for pair in scope["headers"] if pair[0] != b"host"), (b"host", host.encode("latin-1"))]

    async def read(limit: int) -> bytes:
        given = request.META.get("CONTENT_LENGTH") or ""
        if environ is not None and not given and not hasattr(request, "_body"):
            return await Body(environ).read(limit)  # Django takes a chunked body for an empty one
        body: bytes = request.read(limit + 1)
        if len(body) > limit:
            raise too_large(limit)
        return body

    return await answer(parts, scope, below, read, waits)


class _AnalyticsResponse(HttpResponse):
    """Runs the *after* hooks when Django closes it, which is when it has been sent."""

    def __init__(self, response: Response, *, on_loop: bool) -> None:
        super().__init__(bytes(response.body), status=response.status_code)
        _set_headers(self, response)
        self._background: Callable[[], Any] | None = response.background
        self._on_loop = on_loop

    def close(self) -> None:
        super().close()
        background, self._background = self._background, None
        if background is None:
            return
        if not self._on_loop:
            run_blocking(background())
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            async_to_sync(background)()  # Django closes in a thread, which waits; the hooks run on the loop
        else:
            task = loop.create_task(background())  # the asynchronous test client closes on the loop itself
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)


_tasks: set[asyncio.Task[Any]] = set()  # a loop keeps only weak references to its tasks
