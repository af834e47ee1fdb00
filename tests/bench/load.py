"""Load: wrk where it is installed, else a generator of our own.

Both keep a number of connections open, each with one request on its way, from a process of their own. Ours costs more
CPU than a bare server, which makes every ratio to a bare server look better than it is: take wrk for figures to quote.
"""

from __future__ import annotations

import json
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from typing import Final, NamedTuple

from tests.bench.payload import HEADERS

WRK: Final = shutil.which("wrk")


def version() -> str:
    """Which load generator is used."""
    if WRK is None:
        return "its own load generator (install wrk for comparable figures)"
    words = subprocess.run([WRK, "--version"], capture_output=True, text=True, check=False).stdout.split()
    return " ".join(words[:2])


class Answered(NamedTuple):
    """How fast requests were answered."""

    rate: float
    """A second."""
    p99: float
    """Milliseconds, within which 99 of 100 were."""


def send(
    address: tuple[str, int], request: tuple[str, str], *, connections: int, seconds: float, core: list[str]
) -> Answered:
    """Send ``request`` (path and body) as fast as it is answered.

    Args:
        address: host and port.
        request: path and body of a POST.
        connections: open at once.
        seconds: how long.
        core: what to put before the command, to keep it off the server's core.

    Raises:
        RuntimeError: an answer was not 200.
    """
    path, body = request
    host, port = address
    if WRK is None:
        arguments = [json.dumps([address, request, connections, seconds])]
        run = subprocess.run(
            [*core, sys.executable, "-m", "tests.bench.load", *arguments], capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise RuntimeError(run.stderr)
        return Answered(*map(float, run.stdout.split()))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(body)}"]
        lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in HEADERS.items()]
        script.write("\n".join(lines))
        script.flush()
        command = [
            WRK,
            "-t1",
            f"-c{connections}",
            f"-d{seconds:g}",
            "--timeout",
            "30s",
            "--latency",
            "-s",
            script.name,
            f"http://{host}:{port}{path}",
        ]
        said = subprocess.run([*core, *command], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    [rate] = re.findall(r"Requests/sec:\s+([0-9.]+)", said)
    [(p99, unit)] = re.findall(r"99%\s+([0-9.]+)(us|ms|s)\b", said)
    return Answered(float(rate), float(p99) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit])


def generate(address: tuple[str, int], request: tuple[str, str], connections: int, seconds: float) -> Answered:
    """Our own generator, in this process."""
    host, port = address
    path, body = request
    head = [f"POST {path} HTTP/1.1", f"Host: {host}:{port}", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in HEADERS.items()]
    sent = ("\r\n".join(head) + "\r\n\r\n" + body).encode()
    selector = selectors.DefaultSelector()
    received: dict[socket.socket, bytes] = {}
    for _ in range(connections):
        connection = socket.create_connection((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        received[connection] = b""
        connection.sendall(sent)
    started = time.perf_counter()
    sent_at = dict.fromkeys(received, started)
    times: list[float] = []
    end = started + seconds
    while time.perf_counter() < end:
        for key, _ in selector.select(0.1):
            assert isinstance(key.fileobj, socket.socket)
            connection = key.fileobj
            answer = received[connection] + connection.recv(1 << 20)
            if _complete(answer):
                if not answer.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(answer.decode(errors="replace"))
                answer = b""
                now = time.perf_counter()
                times.append(now - sent_at[connection])
                sent_at[connection] = now
                connection.sendall(sent)
            received[connection] = answer
    rate = len(times) / (time.perf_counter() - started)
    for connection in received:
        connection.close()
    return Answered(rate, sorted(times)[len(times) * 99 // 100] * 1e3)


def _complete(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return not answer and _closed()
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    if length is None:
        raise RuntimeError("an answer without a Content-Length")
    return len(body) >= int(length[1])


def _closed() -> bool:
    raise RuntimeError("the server closed a connection")


if __name__ == "__main__":
    print(*generate(*json.loads(sys.argv[1])))
