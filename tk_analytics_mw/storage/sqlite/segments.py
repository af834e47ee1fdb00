"""The tables of :mod:`.postings`, and the triggers that keep them right."""

from __future__ import annotations

import sqlite3
from typing import Final

BITS: Final = 13
"""A segment has two to the power of this many events, in the order of commits."""


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
    for change in ("DELETE", "UPDATE"):
        connection.execute(
            f"CREATE TRIGGER forget_segment_{change.lower()} AFTER {change} ON events "  # noqa: S608
            f"BEGIN DELETE FROM segments WHERE segment = old.position >> {BITS}; END"
        )
