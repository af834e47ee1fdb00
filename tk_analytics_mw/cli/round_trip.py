"""One event on its whole way: through the application itself, to the disk, back, and away again."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from wsgiref.util import setup_testing_defaults

import anyio

from tk_analytics_mw.auth.tokens import PrivateToken
from tk_analytics_mw.event_types import EventType
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.erasure import ErasingStorage, Subject
from tk_analytics_mw.storage.examination import Finding
from tk_analytics_mw.storage.reader import ReadableStorage
from tk_analytics_mw.waiting import is_async

ORGANISATION: Final = "tk-analytics-doctor"
"""Whose event it is: no shop's, so that no figures count it, whatever becomes of it."""

SECONDS: Final = 20.0
"""That the application may take to answer."""


class _Request(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: bytes = b""


Send = Callable[[_Request], tuple[int, bytes]]
"""Gives status and body."""


def round_trip(parts: Parts, application: Any, host: str) -> Iterator[Finding]:
    """Send an event through ``application``, read it back, remove it.

    Its token is made for it and counts in this process alone. Hooks see the event, as they see every one.

    Args:
        parts: of the application.
        application: WSGI or ASGI.
        host: what the ``Host`` header says.
    """
    send: Send = partial(_send_asgi if is_async(application) else _send_wsgi, application, host)
    reached = True
    for prefix in parts.prefixes:
        try:
            status, body = send(_Request("GET", f"{prefix}healthcheck"))
        except Exception as error:  # noqa: BLE001 - of an application that is not ours
            yield Finding("error", f"the application failed at {prefix}healthcheck: {error!r}", "Mend that first.")
            return
        if (status, body) != (200, b"true"):
            reached = False
            yield Finding(
                "error",
                f"{prefix}healthcheck is answered with {status}, and not by us",
                "Is the API mounted in this application, and before what answers there?",
            )
    if reached:
        yield from _event(parts, send)


def _event(parts: Parts, send: Send) -> Iterator[Finding]:
    token, session = secrets.token_urlsafe(32), f"doctor-{secrets.token_hex(8)}"
    parts.tokens.admit(PrivateToken(token, org_id=ORGANISATION, name=ORGANISATION))
    event = {"eventType": EventType.SESSION_START.value, "orgId": ORGANISATION, "sessionId": session}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        request = _Request("POST", f"{parts.prefixes[0]}events", headers, json.dumps(event).encode())
        status, body = send(request)
        if status != 200:
            yield Finding(
                "error", f"an event is answered with {status}: {_detail(body)}", "See the log of the application."
            )
            return
        answer = json.loads(body)
        if not isinstance(parts.storage, ReadableStorage):
            yield Finding("ok", "an event was stored; the storage cannot be asked for it")
        elif parts.storage.reader.event(ORGANISATION, answer["id"]) is None:
            yield Finding(
                "warning",
                "an event was answered with 200, and is not stored",
                "A before_store function drops it, or drop_bots does; or another process has another database.",
            )
        else:
            yield Finding("ok", "an event came through the application to the disk and back")
    finally:
        if isinstance(parts.storage, ErasingStorage):
            for _ in parts.storage.erasure.erase(Subject(ORGANISATION, session_id=session)):
                pass


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


def _send_wsgi(application: Any, host: str, request: _Request) -> tuple[int, bytes]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path,
        "HTTP_HOST": host,
        "wsgi.url_scheme": "https",  # where http is only redirected
        "wsgi.input": io.BytesIO(request.body),
        "CONTENT_LENGTH": str(len(request.body)),
        "REMOTE_ADDR": "127.0.0.1",
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    setup_testing_defaults(environ)
    statuses: list[str] = []
    written: list[bytes] = []

    def start_response(status: str, _headers: Any, _error: Any = None) -> Callable[[bytes], Any]:
        statuses.append(status)
        return written.append

    parts = application(environ, start_response)
    try:
        written.extend(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    return int(statuses[-1].split()[0]), b"".join(written)


def _send_asgi(application: Any, host: str, request: _Request) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "https",
        "path": request.path,
        "raw_path": request.path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {"host": host, "content-length": str(len(request.body)), **request.headers}.items()
        ],
        "client": ("127.0.0.1", 0),
        "server": (host.partition(":")[0], 443),
        "state": {},
    }
    incoming = [{"type": "http.request", "body": request.body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not incoming:
            await anyio.sleep_forever()
        return incoming.pop()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def exchange() -> None:
        with anyio.fail_after(SECONDS):
            await application(scope, receive, send)

    anyio.run(exchange)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
