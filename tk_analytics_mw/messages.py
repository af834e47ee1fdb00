"""Requests and responses, in Starlette's words, for both protocols.

A WSGI adapter makes a scope out of ``environ``, so that everything below the adapters sees one kind
of request and gives one kind of response.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, MutableMapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tk_analytics_mw.errors import FieldError
from tk_analytics_mw.json_values import dump

if TYPE_CHECKING:
    from tk_analytics_mw.auth.base import Principal

MAX_ERRORS: Final = 20
"""Entries of a 422 answer's ``errors``: a body of 800 kB can hold 200,000 mistakes."""

MAX_URL: Final = 2000
"""Characters of a URL that are stored."""

_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\xff]")
_USER_INFO = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#]*@", re.IGNORECASE)

# Every answer of ours, whatever its status. An API answer is no page: it may not be sniffed, framed,
# cached, nor load anything; and it depends on the Origin even when that is not allowed.
_COMMON_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"vary", b"Origin"),
    (b"x-content-type-options", b"nosniff"),
)
_JSON_HEADERS: Final = ((b"content-type", b"application/json; charset=utf-8"), *_COMMON_HEADERS)
_PROBLEM_HEADERS: Final = ((b"content-type", b"application/problem+json; charset=utf-8"), *_COMMON_HEADERS)


NOTHING_CAPTURED: Final[Mapping[str, str]] = {}
"""Of a path without ``{name}``."""


class Request(HTTPConnection):
    """A request that is ours, with its body read.

    It has Starlette's ``headers``, ``query_params``, ``cookies``, ``url`` and ``scope``, under WSGI too.
    """

    def __init__(self, scope: MutableMapping[str, Any], body: bytes = b"") -> None:
        super().__init__(scope)
        self._fields: dict[bytes, bytes] = dict(scope["headers"])
        self._query: dict[str, list[str]] | None = None
        self.body = body
        self.captured: Mapping[str, str] = NOTHING_CAPTURED
        """What stands in the path where its route has ``{name}``."""
        self.allowed_origin: str | None = None
        """The ``Origin`` once it has been found allowed: what CORS headers repeat."""
        self.principal: Principal | None = None
        """Who sends it, as far as is known: also of one that is refused."""

    @property
    def method(self) -> str:
        """``GET``, ``POST``, ..., in capitals."""
        return str(self.scope["method"])

    def header(self, name: bytes) -> str | None:
        """A header's value, as ``headers.get`` gives it in four times as long. The last one, if it is repeated."""
        value = self._fields.get(name)
        return None if value is None else value.decode("latin-1")

    def repeats(self, name: bytes) -> bool:
        """Whether a header is given more than once."""
        headers = self.scope["headers"]
        return len(self._fields) != len(headers) and sum(each == name for each, _ in headers) > 1

    def query(self, name: str) -> list[str]:
        """The values of a query parameter."""
        if self._query is None:
            self._query = _query_values(self.scope.get("query_string", b"").decode("latin-1"))
        return self._query.get(name, [])

    @property
    def url_without_query(self) -> str | None:
        """The URL as the client called it, without its query, which holds the token; ``None`` without a ``Host``."""
        return _url(self.scope.get("scheme", "http"), self.header(b"host") or "", self.scope["path"])


def _query_values(text: str) -> dict[str, list[str]]:
    if "%" in text or "+" in text:
        pairs = parse_qsl(text, keep_blank_values=True)
    else:  # nearly always, in half of the time
        pairs = [(name, value) for name, _, value in [part.partition("=") for part in text.split("&")]]
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


@lru_cache(maxsize=256)
def _url(scheme: str, host: str, path: str) -> str | None:
    return f"{scheme}://{host}{path}"[:MAX_URL] if _HOST.fullmatch(host) else None


def clean_url(text: str) -> str:
    """A URL from a header as it may be kept: no query, fragment, user-info or unprintable characters."""
    if not text:
        return ""
    return _USER_INFO.sub(r"\1", _UNPRINTABLE.sub("", text.partition("#")[0].partition("?")[0]))[:MAX_URL]


class _Answer(Response):
    """A response whose headers are known, so that none need be looked for."""

    def __init__(self, body: bytes, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it: what Starlette's own does for HTTP."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})
        if self.background is not None:
            await self.background()


class Streamed(Response):
    """An answer that is made while it is sent.

    Args:
        chunks: makes its bytes, given how to wait (:class:`~tk_analytics_mw.waiting.Waits`). An error in it ends the
            connection before its time, which is how a client sees that the answer is not whole.
        content_type: of the answer.
        filename: that a browser would save it under.
    """

    def __init__(self, chunks: Callable[[Any], AsyncGenerator[bytes, None]], content_type: str, filename: str) -> None:
        self.chunks = chunks
        self.status_code = 200
        self.body = b""
        self.background = None
        self.raw_headers = [
            (b"content-type", content_type.encode("latin-1")),
            (b"content-disposition", f'attachment; filename="{filename}"'.encode("latin-1")),
            *_COMMON_HEADERS,
        ]

    def without_body(self) -> Response:
        """The answer to a ``HEAD`` request."""
        response = Response()
        response.raw_headers = self.raw_headers
        return response


def json_response(value: Any) -> Response:
    """Answer 200 with ``value`` as JSON."""
    return encoded_response(dump(value))


def encoded_response(body: bytes) -> Response:
    """Answer 200 with JSON that is encoded already."""
    return _Answer(body, 200, _JSON_HEADERS)


def empty_response() -> Response:
    """Answer 204, without a body."""
    response = Response(status_code=204)
    response.raw_headers += _COMMON_HEADERS
    return response


def problem_response(
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldError] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with an RFC 9457 problem.

    Args:
        status: HTTP status.
        detail: what is wrong and what to do, never with anything the client sent.
        errors: of a 422, field by field; cut to :data:`MAX_ERRORS`.
        headers: further ones.
    """
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        document["errors"] = list(errors[:MAX_ERRORS])
    response = _Answer(dump(document), status, _PROBLEM_HEADERS)
    for name, value in (headers or {}).items():
        response.raw_headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    return response
