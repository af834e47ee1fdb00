"""The database as a file: which one it is, who may open it now, and what is wrong with this SQLite."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be moved away
    fcntl = None  # type: ignore[assignment]

logger: Final = logging.getLogger("tk_analytics_mw.storage")

# The write-ahead log could be reset while another connection still wrote to it: two connections writing
# or checkpointing at the same moment could corrupt the file.
_WAL_RESET_BUG: Final = ((3, 7, 0), (3, 51, 3))
WAL_RESET_FIXED: Final = "3.51.3"


def identity_of(path: Path) -> tuple[int, int] | None:
    """Device and inode, ``None`` if there is none."""
    try:
        found = path.stat()  # stat is safe, other than opening it
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def one_at_a_time(directory: Path) -> Iterator[None]:
    """Keep the other processes that open a database in ``directory`` waiting."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def has_wal_reset_bug() -> bool:
    """Whether this SQLite has it."""
    first, fixed = _WAL_RESET_BUG
    return first <= sqlite3.sqlite_version_info < fixed


@lru_cache(maxsize=1)  # once a process
def warn_of_wal_reset_bug() -> None:
    """Log it where SQLite has it."""
    if has_wal_reset_bug():
        logger.warning(
            "SQLite %s has the WAL-reset bug: two connections that write or checkpoint at the same moment can, "
            "very rarely, corrupt the file. Several worker processes are such connections. It is fixed in SQLite "
            "%s; keep backups until this Python is linked with that or a later one.",
            sqlite3.sqlite_version,
            WAL_RESET_FIXED,
        )
