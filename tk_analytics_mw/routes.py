"""Which endpoint answers which request, and everything that is the same for all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, Final, NamedTuple

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from tk_analytics_mw.cors import add_origin, preflight
from tk_analytics_mw.endpoints.attributes import count_attributes
from tk_analytics_mw.endpoints.batch import create_batch
from tk_analytics_mw.endpoints.breakdown import break_down
from tk_analytics_mw.endpoints.create import create
from tk_analytics_mw.endpoints.event import read_event
from tk_analytics_mw.endpoints.export import export_events
from tk_analytics_mw.endpoints.funnel import count_funnel
from tk_analytics_mw.endpoints.health import healthcheck
from tk_analytics_mw.endpoints.listing import list_events
from tk_analytics_mw.endpoints.refusals import list_refusals
from tk_analytics_mw.endpoints.sessions import list_sessions, read_session
from tk_analytics_mw.endpoints.views import count_views
from tk_analytics_mw.errors import Refused
from tk_analytics_mw.messages import NOTHING_CAPTURED, Request, Streamed
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.problems import problem_from
from tk_analytics_mw.waiting import Waits

Endpoint = Callable[[Request, Parts, Waits], Awaitable[Response]]
ReadBody = Callable[[int], Awaitable[bytes]]
"""Reads a body of at most so many bytes; raises :class:`Refused` with 413 or 411."""


class Route(NamedTuple):
    """An endpoint, and the setting that bounds its body; ``None`` for no body."""

    endpoint: Endpoint
    limit: str | None = None


async def _describe(request: Request, parts: Parts, waits: Waits) -> Response:
    from tk_analytics_mw.openapi import describe  # its schemas take longer to make than everything else to import

    return await describe(request, parts, waits)


def _reading(endpoint: Endpoint) -> dict[str, Route]:
    return {"GET": Route(endpoint), "HEAD": Route(endpoint)}


ROUTES: Final[dict[str, dict[str, Route]]] = {
    "events": {"POST": Route(create, "max_body_bytes"), **_reading(list_events)},
    "events/batch": {"POST": Route(create_batch, "max_batch_bytes")},
    "events/attributes": _reading(count_attributes),
    "events/breakdown": _reading(break_down),
    "events/funnel": _reading(count_funnel),
    "events/views": _reading(count_views),
    "events/export": _reading(export_events),
    "events/sessions": _reading(list_sessions),
    "events/sessions/{sessionId:path}": _reading(read_session),
    "events/{id}": _reading(read_event),
    "healthcheck": _reading(healthcheck),
    "refusals": _reading(list_refusals),
    "openapi.json": _reading(_describe),
}
"""By the path below the prefix. It may end with ``{name}``, one segment, or ``{name:path}``, all that follows; the
first one that fits counts."""

_CAPTURING: Final = tuple((*path.partition("{")[::2], methods) for path, methods in ROUTES.items() if "{" in path)


def path_below(prefixes: tuple[str, ...], path: str) -> str | None:
    """The rest of ``path`` below one of the prefixes, ``None`` if it is the host's own path."""
    if path.startswith(prefixes):
        for prefix in prefixes:
            if path.startswith(prefix):
                return path[len(prefix) :]
    return None


async def answer(
    parts: Parts, scope: MutableMapping[str, Any], below: str, read_body: ReadBody, waits: Waits
) -> Response:
    """Answer a request that is ours. It never raises, except when the client has gone.

    Args:
        parts: of the host application.
        scope: of ASGI, or made alike.
        below: the path below the prefix.
        read_body: called at most once, and only if the endpoint takes a body.
        waits: how to wait.

    Raises:
        starlette.requests.ClientDisconnect: from ``read_body``.
    """
    request = Request(scope)
    try:
        route, request.captured = _find(request.method, below.removesuffix("/"))
        if route.limit is not None:
            limit = getattr(parts.settings, route.limit)
            _check_head(request, limit)
            request.body = await read_body(limit)
        response = await route.endpoint(request, parts, waits)
    except ClientDisconnect:
        raise
    except Exception as error:  # noqa: BLE001 - nothing of ours may reach the server
        response = problem_from(error).as_response()
        if parts.refusals.note(error, request):
            response.background = partial(parts.refusals.write_later, waits)  # type: ignore[assignment]
    add_origin(response, request, parts)
    if request.method == "HEAD":
        if isinstance(response, Streamed):
            return response.without_body()
        response.body = b""
    return response


def _find(method: str, below: str) -> tuple[Route, Mapping[str, str]]:
    methods, captured = _match(below)
    route = methods.get(method)
    if route is None:
        allow = ", ".join([*methods, "OPTIONS"])
        if method == "OPTIONS":
            return Route(partial(preflight, allow=allow)), captured
        raise Refused(f"This path answers {allow}.", status=405, headers={"Allow": allow})
    return route, captured


def _match(below: str) -> tuple[Mapping[str, Route], Mapping[str, str]]:
    methods = ROUTES.get(below)
    if methods is not None and "{" not in below:
        return methods, NOTHING_CAPTURED
    for before, name, methods in _CAPTURING:
        rest = below.removeprefix(before)
        if rest and rest != below and ("/" not in rest or name.endswith(":path}")):
            return methods, {name.partition(":")[0].rstrip("}"): rest}
    raise Refused("There is nothing at this path.", status=404)


def _check_head(request: Request, limit: int) -> None:
    encoding = request.header(b"content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise Refused("Send the body without a Content-Encoding.", status=415, headers={"Accept-Encoding": "identity"})
    length = request.header(b"content-length")
    if length is not None and length.isascii() and length.isdigit() and int(length[:20]) > limit:
        raise too_large(limit)  # before the server asks for it


def too_large(limit: int) -> Refused:
    """The refusal of a body over its limit."""
    return Refused(f"The body is larger than {limit} bytes.", status=413)
