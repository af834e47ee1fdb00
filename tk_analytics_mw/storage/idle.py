"""Connections of one process that nobody uses just now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

Connection = TypeVar("Connection", bound=Any)
"""Has ``close()``."""


class Idle(Generic[Connection]):
    """Idle connections, and how many are in use: a fork waits for those.

    Args:
        close: closes a connection, in whatever thread: of a fork, or where garbage is collected.
    """

    def __init__(self, close: Callable[[Connection], None] = lambda connection: connection.close()) -> None:
        self._close_one = close
        self.key: Any = None
        """Tells what the idle connections lead to from what they led to before: a file, a name."""
        self._idle: list[Connection] = []
        self._in_use = 0
        self._changed = threading.Condition()

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count somebody who uses one."""
        with self._changed:
            self._in_use += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_use -= 1
                self._changed.notify_all()

    def take(self, key: Any) -> Connection | None:
        """An idle connection to ``key``; those to another one are closed."""
        with self._changed:
            if key != self.key:
                self._close_idle()
            return self._idle.pop() if self._idle else None

    def put(self, connection: Connection, key: Any) -> None:
        """Keep a connection to ``key`` for the next one who wants one."""
        with self._changed:
            if key == self.key:
                self._idle.append(connection)
                return
        self._close_one(connection)

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
            self._close_one(self._idle.pop())
