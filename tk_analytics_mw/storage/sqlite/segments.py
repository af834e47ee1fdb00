"""The tables of :mod:`.postings`, and the triggers that keep them right."""

from __future__ import annotations

import sqlite3
from typing import Final

BITS: Final = 12
"""A segment has two to the power of this many events, in the order of commits."""

_CHANGES: Final = ("DELETE", "UPDATE")


def create(connection: sqlite3.Connection) -> None:
    """Create the tables and triggers."""
    connection.execute(
        """CREATE TABLE segments (
            look INTEGER PRIMARY KEY AUTOINCREMENT,
            segment INTEGER NOT NULL UNIQUE,
            ready INTEGER NOT NULL DEFAULT 0,
            first TEXT,
            last TEXT
        )"""
    )
    connection.execute(
        """CREATE TABLE postings (
            key INTEGER NOT NULL,
            look INTEGER NOT NULL,
            events INTEGER NOT NULL,
            offsets BLOB,
            PRIMARY KEY (key, look)
        ) WITHOUT ROWID"""
    )
    _watch(connection)


def cut_smaller(connection: sqlite3.Connection) -> None:
    """Forget what was looked at in segments of another size, and have those that are ready counted at once."""
    connection.execute("CREATE INDEX segments_ready ON segments (ready, segment)")
    for table in ("segments", "postings"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608
    for change in _CHANGES:
        connection.execute(f"DROP TRIGGER forget_segment_{change.lower()}")
    _watch(connection)


def order_by_time(connection: sqlite3.Connection) -> None:
    """Have the segments in the order of lists: by their newest event, and by their oldest one."""
    connection.execute("CREATE INDEX segments_last ON segments (ready, last, segment, first)")
    connection.execute("CREATE INDEX segments_first ON segments (ready, first, segment, last)")


def _watch(connection: sqlite3.Connection) -> None:
    for change in _CHANGES:
        connection.execute(
            f"CREATE TRIGGER forget_segment_{change.lower()} AFTER {change} ON events "  # noqa: S608
            f"BEGIN DELETE FROM segments WHERE segment = old.position >> {BITS}; END"
        )
