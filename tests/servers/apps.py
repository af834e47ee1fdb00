"""The applications that the servers of these tests run, with everything they need to know in the environment.

``SHOP_DATABASE`` is the path of the database, ``SHOP_OPTIONS`` holds options of ``Analytics`` as JSON,
``SHOP_EARLY_START`` records an event while the module is imported, ``SHOP_HOOK_LOG`` is where the slow
hooks write the id of each event that they are done with, ``SHOP_CALL_LOG`` is where a hook of the kind
``SHOP_CALL_KIND`` writes when it is called, ``SHOP_DJANGO`` is the ``DATABASES`` of a Django project as JSON, for the
storage ``django``. (A name with our prefix would be a setting.)
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from tests.servers.names import AFTER_TYPE, CALL, INLINE_TYPE, ORGANISATION, PLAIN_TYPE, SLOW, TOKEN
from tk_analytics_mw import Analytics, Event, PrivateToken


def make_analytics() -> Analytics:
    """Make it of what the environment says."""
    options = {
        "storage": f"sqlite:///{os.environ['SHOP_DATABASE']}",
        "tokens": [PrivateToken(TOKEN, org_id=ORGANISATION)],
        **json.loads(os.environ.get("SHOP_OPTIONS", "{}")),
    }
    if "SHOP_DJANGO" in os.environ:
        set_up_django(json.loads(os.environ["SHOP_DJANGO"]))
    made = Analytics(**options)
    log = os.environ.get("SHOP_HOOK_LOG")
    if log is not None:

        def slow(event: Event) -> None:
            time.sleep(SLOW)
            with Path(log).open("a", encoding="ascii") as file:
                file.write(f"{event.id}\n")

        made.on(AFTER_TYPE)(slow)
        made.on(INLINE_TYPE, when="inline")(slow)
    if "SHOP_CALL_LOG" in os.environ:
        log_calls(made, Path(os.environ["SHOP_CALL_LOG"]), os.environ["SHOP_CALL_KIND"])
    if os.environ.get("SHOP_EARLY_START"):
        made.record(PLAIN_TYPE, org_id=ORGANISATION, session_id="before the fork")
    return made


def set_up_django(databases: dict[str, Any]) -> None:
    """Be a Django project with these databases."""
    import django
    from django.conf import settings

    settings.configure(DATABASES=databases, INSTALLED_APPS=["tk_analytics_mw.django.storage"], USE_TZ=True)
    django.setup()


def log_calls(made: Analytics, path: Path, kind: str) -> None:
    """Have each event without another hook logged by one that is called durably, or after the answer."""

    def log(what: str, event: Event) -> None:
        # One write, so that no line is torn; of a clock that all processes of this machine share.
        with path.open("ab", buffering=0) as file:
            file.write(f"{what} {event.id} {os.getpid()} {time.monotonic_ns()}\n".encode())

    def call(event: Event, _delivery: object = None) -> None:
        log("began", event)
        time.sleep(CALL)
        log("ended", event)

    if kind == "durable":
        made.on(PLAIN_TYPE, durable=True, name="log")(call)
    else:
        made.on(PLAIN_TYPE)(call)


def wsgi_page(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer every path of the host."""
    body = f"host: {environ['PATH_INFO']}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi_page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every path of the host, and the server's own questions."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = f"host: {scope['path']}".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


analytics = make_analytics()
wsgi = analytics.wsgi(wsgi_page)
asgi = analytics.asgi(asgi_page)
