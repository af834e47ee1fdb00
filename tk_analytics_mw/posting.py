"""POST requests to addresses that were checked, each within a bound of time that nothing stretches.

httpx's own transport (httpcore) does the HTTP; where it connects to, and how long each step may take, is decided
here. httpx above it could be told neither: a client's bounds are for single steps, so that an answer that comes
byte by byte keeps it waiting for ever.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import httpcore2

from tk_analytics_mw.errors import Retry

KEEP: Final = 4.0
"""Seconds a connection is kept for the next request. Many servers close idle ones after 5."""

MAX_ANSWER: Final = 65_536
"""Bytes of an answer that are read, so that its connection can be used again; beyond, it is closed."""

_SLICE: Final = 16_384  # bytes written at once: between two of them the clock is looked at


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go to."""

    scheme: str
    host: str
    """In ASCII and lower case; of an IPv6 address without the brackets."""
    port: int
    path: str = field(repr=False)
    """With the query, which may hold a key: not to be shown."""

    @property
    def authority(self) -> str:
        """The ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a request may take, in seconds."""

    connect: float
    """To each address, TLS included."""
    read: float
    """For the next bytes of the answer, and for the receiver to take ours."""
    total: float
    """From the look-up of the name to the end of the answer's headers."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""


class Poster:
    """Sends requests to one target. Each thread keeps its connection for the next one.

    Args:
        target: where to.
        limits: how long.
        tls: how servers are verified; ``None`` for the system's certificates.
    """

    def __init__(self, target: Target, limits: TimeLimits, tls: ssl.SSLContext | None) -> None:
        self._target = target
        self._limits = limits
        self._tls = tls
        self._kept = _Kept()

    def post(self, addresses: Sequence[str], headers: Mapping[str, str], body: bytes, *, deadline: float) -> Answer:
        """Send one request.

        Args:
            addresses: checked ones, tried in this order. The name stays what is asked for, and what the certificate
                has to be of.
            headers: further ones.
            body: of the request.
            deadline: by ``time.monotonic()``.

        Raises:
            Retry: there was no answer.
        """
        line = self._line(addresses)
        try:
            return line.post(headers, body, deadline)
        except BaseException:
            line.close()
            raise
        finally:
            if line.usable:
                self._kept.line = line

    def _line(self, addresses: Sequence[str]) -> _Line:
        line, self._kept.line = self._kept.line, None
        if line is not None:
            if line.usable and line.address in addresses:
                return line
            line.close()
        if self._tls is None and self._target.scheme == "https":
            self._tls = httpcore2.default_ssl_context()  # some 50 ms: all of the system's certificates
        return _Line(self._target, self._limits, self._tls, addresses)


class _Kept(threading.local):
    line: _Line | None = None


class _Line:
    """A connection to one of some addresses, opened with its first request."""

    def __init__(
        self, target: Target, limits: TimeLimits, tls: ssl.SSLContext | None, addresses: Sequence[str]
    ) -> None:
        self._target = target
        self._limits = limits
        self._pid = os.getpid()  # in a forked child it is the parent's
        self._backend = _Backend(addresses)
        self._connection = httpcore2.HTTPConnection(
            httpcore2.Origin(target.scheme.encode(), target.host.encode(), target.port),
            ssl_context=tls,
            keepalive_expiry=KEEP,
            network_backend=self._backend,
        )

    @property
    def address(self) -> str | None:
        """The one it is connected to."""
        return self._backend.connected_to

    @property
    def usable(self) -> bool:
        """Whether it can take a further request."""
        return self._pid == os.getpid() and self._connection.is_available() and not self._connection.has_expired()

    def close(self) -> None:
        self._connection.close()

    def __del__(self) -> None:
        # Its thread has ended. Closing the connection could log, and that would make threading believe in a new one.
        with suppress(Exception):
            self._backend.close()

    def post(self, headers: Mapping[str, str], body: bytes, deadline: float) -> Answer:
        self._backend.deadline = deadline
        target, limits = self._target, self._limits
        url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        request = httpcore2.Request(
            "POST",
            url,
            headers=[("Host", target.authority), ("Content-Length", str(len(body))), *headers.items()],
            content=body,
            extensions={"timeout": {"connect": limits.connect, "read": limits.read, "write": limits.read}},
        )
        try:
            response = self._connection.handle_request(request)
        except httpcore2.ConnectTimeout:
            raise Retry(f"{target.host} took no connection in time") from None
        except httpcore2.TimeoutException:
            raise Retry(f"{target.host} gave no answer in time") from None
        except httpcore2.ConnectError as error:
            raise Retry(f"could not connect to {target.host}: {error}") from None
        except httpcore2.NetworkError as error:
            raise Retry(f"the connection to {target.host} broke: {error}") from None
        except httpcore2.ProtocolError:  # its text repeats what came, which may repeat what was sent
            raise Retry(f"{target.host} closed the connection without an answer, or gave none in HTTP") from None
        answer = Answer(
            response.status, {name.decode().lower(): value.decode("latin-1") for name, value in response.headers}
        )
        self._finish(response)
        return answer

    def _finish(self, response: httpcore2.Response) -> None:
        """Read what is left of the answer, for the connection's sake. The status has said everything already."""
        size = 0
        with suppress(httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException):
            assert isinstance(response.stream, Iterable)  # noqa: S101 - for the type checker
            for piece in response.stream:
                size += len(piece)
                if size > MAX_ANSWER:
                    break
        response.close()


class _Backend(httpcore2.NetworkBackend):
    """Connects to the given addresses, whatever it is asked for."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self.connected_to: str | None = None
        self.deadline = 0.0
        self.stream: httpcore2.NetworkStream | None = None
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - its addresses are known
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        failed: Exception = httpcore2.ConnectError("no address")
        for address in self.addresses:
            try:
                stream = self._sockets.connect_tcp(
                    address,
                    port,
                    self.within(timeout, httpcore2.ConnectTimeout),
                    local_address,
                    socket_options,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
            else:
                self.connected_to = address
                return _Stream(stream, self)
        raise failed

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()

    def within(self, timeout: float | None, error: type[Exception]) -> float:
        """What a step may take of the time that is left."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise error
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore2.NetworkStream):
    """A stream whose every step ends by the deadline of the request."""

    def __init__(self, stream: httpcore2.NetworkStream, backend: _Backend) -> None:
        self._stream = backend.stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.within(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _SLICE):
            piece = buffer[start : start + _SLICE]
            self._stream.write(piece, self._backend.within(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        timeout = self._backend.within(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
