"""The API in front of a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from tk_analytics_mw.errors import Refused
from tk_analytics_mw.messages import Streamed
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.routes import answer, path_below, too_large
from tk_analytics_mw.waiting import iterate_blocking, run_blocking

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CHUNK = 65_536


class AnalyticsMiddleware:
    """Answers what is below the prefixes and hands everything else on, untouched.

    Args:
        app: the host application; ``None`` for none: everything else is then 404.
        parts: what to answer with.
    """

    def __init__(self, app: WSGIApplication | None, parts: Parts) -> None:
        self.app = app or _nothing
        self.parts = parts
        self._prefixes = parts.prefixes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        path = environ.get("PATH_INFO", "")
        below = path_below(self._prefixes, path)
        if below is None and environ.get("SCRIPT_NAME"):
            below = path_below(self._prefixes, environ["SCRIPT_NAME"] + path)  # mounted at the prefix itself
        if below is None:
            return self.app(environ, start_response)
        return self.serve(below, environ, start_response)

    def serve(self, below: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request that is ours; ``below`` is its path below the prefix."""
        scope = scope_from(environ)
        response = run_blocking(answer(self.parts, scope, _text(below), Body(environ).read, self.parts.blocking))
        if isinstance(response, Streamed):
            _start(response, start_response)
            return iterate_blocking(response.chunks(self.parts.blocking))
        return send_response(response, start_response)


def scope_from(environ: WSGIEnvironment) -> dict[str, Any]:
    """Say in ASGI's words what a WSGI ``environ`` says of the request."""
    headers = [
        (_asgi_name(name), value.encode("latin-1")) for name, value in environ.items() if name.startswith("HTTP_")
    ]
    for name, header in (("CONTENT_TYPE", b"content-type"), ("CONTENT_LENGTH", b"content-length")):
        if environ.get(name):
            headers.append((header, environ[name].encode("latin-1")))
    script_name = _text(environ.get("SCRIPT_NAME", ""))
    return {
        "type": "http",
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/"),
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": script_name + _text(environ.get("PATH_INFO", "")),
        "root_path": script_name,
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "headers": headers,
        "client": (environ["REMOTE_ADDR"], int(environ.get("REMOTE_PORT") or 0))
        if environ.get("REMOTE_ADDR")
        else None,
        "server": None,
        "wsgi.environ": environ,
    }


@lru_cache(maxsize=256)
def _asgi_name(name: str) -> bytes:
    return name[5:].replace("_", "-").lower().encode("latin-1")


def _text(latin: str) -> str:
    # PEP 3333: bytes of the request, each as the character of that number.
    return latin.encode("latin-1").decode("utf-8", "replace")


class Body:
    """The body of a WSGI request, read no further than it goes."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    async def read(self, limit: int) -> bytes:
        """Read it; without suspending, in spite of the name.

        Raises:
            Refused: with 413, it is larger than ``limit``; with 411, its end cannot be known.
        """
        length = self._length()
        stream = self._environ["wsgi.input"]
        wanted = limit + 1 if length is None else length
        chunks: list[bytes] = []
        while wanted > 0:
            chunk = stream.read(min(wanted, _CHUNK))
            if not chunk:
                break
            chunks.append(chunk)
            wanted -= len(chunk)
        if length is None and wanted == 0:
            raise too_large(limit)
        if length is not None and wanted > 0:
            raise Refused("The body is shorter than its Content-Length.", status=400)
        return b"".join(chunks)

    def _length(self) -> int | None:
        given = self._environ.get("CONTENT_LENGTH") or ""
        if given.isdigit() and given.isascii():
            return int(given[:20])
        if self._environ.get("wsgi.input_terminated"):
            return None
        if self._environ.get("HTTP_TRANSFER_ENCODING") or given:
            raise Refused("Send a Content-Length: this server does not tell where the body ends.", status=411)
        return 0


def send_response(response: Response, start_response: StartResponse) -> Iterable[bytes]:
    """Hand a response to the server."""
    _start(response, start_response)
    body = bytes(response.body)
    if response.background is None:
        return [body]
    return _ThenHooks(body, response.background)


def _start(response: Response, start_response: StartResponse) -> None:
    headers = [(_header_name(name), value.decode("latin-1")) for name, value in response.raw_headers]
    start_response(_status_line(response.status_code), headers)


@lru_cache(maxsize=64)
def _header_name(name: bytes) -> str:
    return name.decode("latin-1").title()


@lru_cache(maxsize=64)
def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


class _ThenHooks:
    """A body, and what is due when the server has sent it.

    The server asks for more, or closes, after it has passed the body on; whichever comes first.
    """

    def __init__(self, body: bytes, background: Callable[[], Any]) -> None:
        self._body: bytes | None = body
        self._background: Callable[[], Any] | None = background

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        body, self._body = self._body, None
        if body is None:
            self.close()
            raise StopIteration
        return body

    def close(self) -> None:
        background, self._background = self._background, None
        if background is not None:
            run_blocking(background())


def _nothing(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    from tk_analytics_mw.problems import problem_from

    return send_response(
        problem_from(Refused("There is nothing at this path.", status=404)).as_response(), start_response
    )
