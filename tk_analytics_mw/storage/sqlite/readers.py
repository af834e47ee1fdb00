"""The connections that only read, of one process to one SQLite file."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Readers:
    """Idle connections, and how many are in use: a fork waits for those."""

    def __init__(self) -> None:
        self.file: tuple[int, int] | None = None
        """Device and inode of what the idle connections have open."""
        self._idle: list[sqlite3.Connection] = []
        self._in_use = 0
        self._changed = threading.Condition()

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count somebody who reads."""
        with self._changed:
            self._in_use += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_use -= 1
                self._changed.notify_all()

    def take(self, file: tuple[int, int] | None) -> sqlite3.Connection | None:
        """An idle connection to ``file``; those to another one are closed."""
        with self._changed:
            if file != self.file:
                self._close_idle()
            return self._idle.pop() if self._idle else None

    def put(self, connection: sqlite3.Connection, file: tuple[int, int] | None) -> None:
        """Keep a connection to ``file`` for the next one who reads."""
        with self._changed:
            if file == self.file:
                self._idle.append(connection)
                return
        connection.close()

    def close(self, wait: float = 0.0) -> bool:
        """Close the idle connections.

        Args:
            wait: seconds to wait for those in use.

        Returns:
            Whether none is left.
        """
        deadline = time.monotonic() + wait
        with self._changed:
            self._changed.wait_for(lambda: not self._in_use, max(0.0, deadline - time.monotonic()))
            self._close_idle()
            return not self._in_use

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()
