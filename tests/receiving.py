"""A receiver of webhooks: a real HTTP server in threads, which answers as it is told."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Received:
    """A request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    port: int
    """Of the sender: the same for the requests of one connection."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def status(code: int, **headers: str) -> Answer:
    """Answer with a status. Underscores in header names become hyphens."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {"Content_Length": "0", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True


def raw(*pieces: bytes, pause: float = 0.0, released: threading.Event | None = None) -> Answer:
    """Send these bytes, with a pause behind each piece, and close."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        for piece in pieces:
            handler.wfile.write(piece)
            if pause and released is not None and released.wait(pause):
                break

    return answer


@dataclass
class Receiver:
    """What it received, and what it is to answer."""

    host: str
    port: int
    received: list[Received] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    """One for each of the next requests."""
    otherwise: Answer = field(default_factory=lambda: status(204))
    connections: int = 0
    ended: int = 0
    """Connections that were closed."""
    names: list[str | None] = field(default_factory=list)
    """That TLS clients asked for."""
    released: threading.Event = field(default_factory=threading.Event)
    """Set at the end: what hangs shall hang no longer."""


@contextmanager
def receiving(host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Receive until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10
        disable_nagle_algorithm = True

        def setup(self) -> None:
            receiver.connections += 1
            super().setup()

        def finish(self) -> None:
            with suppress(OSError):
                super().finish()
            receiver.ended += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received = Received(self.path, dict(self.headers.items()), body, self.client_address[1])
            answer = receiver.answers.pop(0) if receiver.answers else receiver.otherwise
            receiver.received.append(received)
            answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

        def get_request(self) -> tuple[socket.socket, Any]:
            connection, address = super().get_request()
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            return connection, address

        def handle_error(self, *args: Any) -> None:
            pass  # a client that goes away, or does not trust us

    def note_name(connection: Any, name: str | None, context: Any) -> None:
        receiver.names.append(name)

    with Server((host, port), Handler) as server:
        receiver = Receiver(host, server.server_address[1])
        if tls is not None:
            tls.sni_callback = note_name
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.released.set()
            server.shutdown()
            thread.join()
