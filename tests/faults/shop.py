"""A process that answers one request a line: ``python -m tests.faults.shop wsgi`` or ``asgi``,
and ``without_rights`` if root's are not wanted.

A line of input is a body to post, a line of output is ``[status, Retry-After, body]`` of the answer.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys

import anyio

from tests.hosts.asgi_faces import exchange, reply_of, scope_of
from tests.hosts.base import Reply
from tests.hosts.wsgi_face import call_wsgi, environ_of
from tests.servers.apps import asgi, wsgi
from tests.servers.names import EVENTS, TOKEN

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Host": "shop.test"}


def say(reply: Reply) -> None:
    print(json.dumps([reply.status, reply.headers.get("retry-after"), reply.body.decode()]), flush=True)


def give_up_rights() -> None:
    """Drop what lets root pass over the mode of files, and stay the owner of them."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of capset(2), this process
    none = (ctypes.c_uint32 * 6)()
    if libc.capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def serve_wsgi() -> None:
    for line in sys.stdin:
        say(call_wsgi(wsgi, environ_of("POST", EVENTS, "", HEADERS, line.encode())))


async def serve_asgi() -> None:
    """All requests on one loop, as a server does."""
    for line in sys.stdin:
        scope = scope_of("POST", EVENTS, "", HEADERS.items())
        say(reply_of(await exchange(asgi, scope, [{"type": "http.request", "body": line.encode()}])))


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write over the limit fails instead of ending the process
    if "without_rights" in sys.argv:
        give_up_rights()
    if sys.argv[1] == "wsgi":
        serve_wsgi()
    else:
        anyio.run(serve_asgi)
