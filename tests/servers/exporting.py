"""A shop with many events, as WSGI and as ASGI. Of its own it answers how much memory its process takes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from tests.servers.names import ORGANISATION, TOKEN
from tk_analytics_mw import Analytics, PrivateToken

analytics = Analytics(
    storage=f"sqlite:///{os.environ['SHOP_DATABASE']}", tokens=[PrivateToken(TOKEN, org_id=ORGANISATION)]
)


def memory() -> bytes:
    """Of this process, in KiB: what it takes now, and the most that it ever took."""
    status = Path("/proc/self/status").read_text()
    now, most = (re.findall(rf"{name}:\s+(\d+) kB", status)[0] for name in ("VmRSS", "VmHWM"))
    return f"{now} {most}".encode()


def wsgi_page(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer how much memory is taken."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [memory()]


async def asgi_page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer how much memory is taken."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": memory()})


wsgi = analytics.wsgi(wsgi_page)
asgi = analytics.asgi(asgi_page)
