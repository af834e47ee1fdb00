"""Servers in processes of their own, for examples, documentation and bench."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0  # seconds


@contextmanager
def serving(
    *command: str, folder: Path, environment: Mapping[str, str] | None = None, before: Sequence[str] = ()
) -> Iterator[tuple[str, int]]:
    """Run ``python -m command`` until the block is left.

    Args:
        command: module and arguments; ``{port}`` stands for a free port of 127.0.0.1.
        folder: to start it in.
        environment: variables beside those of this process.
        before: words that come before the command, such as ``taskset -c 0``.

    Yields:
        Host and port, once something listens there.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address: tuple[str, int] = probe.getsockname()
    words = [*before, sys.executable, "-m", *(word.format(port=address[1]) for word in command)]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            words, cwd=folder, env={**os.environ, **(environment or {})}, stdout=log, stderr=log
        ) as process,
    ):
        try:
            deadline = time.monotonic() + PATIENCE
            while not _listens(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{' '.join(words)} did not start:\n{log.read()}")
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
