"""Where the events that are wanted may be, as postings say."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator
from operator import itemgetter
from typing import Final, NamedTuple

from tk_analytics_mw.queries import Filter, Order
from tk_analytics_mw.storage.sqlite.postings import MANY, SEGMENT, ends, keys_of
from tk_analytics_mw.storage.sqlite.segments import BITS

MOST_SEARCHED: Final = 8 * SEGMENT
"""Events that may be searched one by one; beyond it postings are of no use yet."""

_READY: Final = "FROM segments WHERE ready = 1"


class Part(NamedTuple):
    """Events among which those that are wanted are: some from ``low`` to ``high``."""

    low: int
    high: int
    offsets: bytes | None = None
    first: str = ""
    last: str = "~"
    """No event of it is earlier than ``first`` or later than ``last``."""

    @property
    def positions(self) -> list[int] | None:
        """Of the events that may be wanted; ``None`` for all of them."""
        return None if self.offsets is None else [self.low + offset for offset in array("H", self.offsets)]


class Found(NamedTuple):
    """Where the events are that are wanted."""

    keys: tuple[int, ...]
    """Of the postings that say it: those of one of the values that are asked for."""
    events: int
    """That these postings have, and those of segments that were forgotten."""
    frequent: bool
    """Whether to go through events by time is faster."""
    searched: list[Part]
    """Of which there are no postings."""


def find(connection: sqlite3.Connection, wanted: Filter) -> Found | None:
    """Where the events of ``wanted`` are; ``None`` if postings cannot say.

    Args:
        connection: with a snapshot.
        wanted: which events.
    """
    keys = [*keys_of(wanted)]
    searched = searched_of(connection) if keys else None
    if searched is None:
        return None
    found = [(either, sum(_events(connection, key) for key in either)) for either in keys]
    either, events = min(found, key=itemgetter(1))
    low, high = ends(connection)
    return Found(either, events, events * SEGMENT > (high - low) * MANY, searched)


def parts_of(connection: sqlite3.Connection, found: Found, order: Order = "newest") -> Iterator[Part]:
    """The segments with such postings, one after the other: of a frequent value most are never needed.

    Args:
        connection: with the snapshot in which they were found.
        found: which ones.
        order: by their newest event or by their oldest one.
    """
    by = "last DESC" if order == "newest" else "first"
    rows = connection.execute(
        "SELECT segment, first, last, offsets FROM postings JOIN segments USING (look) "  # noqa: S608
        f"WHERE key IN (?, ?) AND ready ORDER BY {by}",
        (found.keys[0], found.keys[-1]),
    )
    for segment, first, last, offsets in rows:
        low = segment << BITS
        yield Part(low, low + SEGMENT - 1, offsets, first, last)


def searched_of(connection: sqlite3.Connection) -> list[Part] | None:
    """What has no postings; ``None`` if that is too much for postings to be of use."""
    searched = [*_searched(connection)]
    return searched if sum(part.high - part.low + 1 for part in searched) <= MOST_SEARCHED else None


def counted(connection: sqlite3.Connection, wanted: Filter) -> int | None:
    """How many events postings have that are ``wanted``; ``None`` if they do not say it exactly."""
    keys = [*keys_of(wanted)]
    one_value = len(keys) == len(wanted.equals) + len(wanted.metadata) == 1
    if not one_value or wanted.since is not None or wanted.until is not None:
        return None
    [(key, *crowded)] = keys
    if any(_events(connection, each) for each in crowded):
        return None  # there are events that may have any key
    [events] = connection.execute(
        "SELECT ifnull(sum(events), 0) FROM postings JOIN segments USING (look) WHERE key = ? AND ready", (key,)
    ).fetchone()
    return int(events)


def _events(connection: sqlite3.Connection, key: int) -> int:
    # Without a look at the segments: half of the time, for a number that only decides which way is the shorter one.
    [events] = connection.execute("SELECT ifnull(sum(events), 0) FROM postings WHERE key = ?", (key,)).fetchone()
    return int(events)


def _searched(connection: sqlite3.Connection) -> Iterator[Part]:
    """The stretches without postings."""
    low, high = ends(connection)
    for first, last in _runs(connection):
        if low < first << BITS:
            yield Part(low, (first << BITS) - 1)
        low = max(low, last + 1 << BITS)
    if low <= high:
        yield Part(low, high)


def _runs(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """The first and the last of segments that follow one another, ascending."""
    first, last, number = connection.execute(
        # Each for itself: all at once SQLite would go through them for the ends as well.
        f"SELECT (SELECT min(segment) {_READY}), (SELECT max(segment) {_READY}), (SELECT count(*) {_READY})"
    ).fetchone()
    if not number:
        return []
    if number == last - first + 1:
        return [(first, last)]  # nearly always, and a tenth of the time
    return connection.execute(
        "SELECT min(segment), max(segment) FROM ("
        "SELECT segment, segment - row_number() OVER (ORDER BY segment) AS run FROM segments WHERE ready = 1"
        ") GROUP BY run ORDER BY 1"
    ).fetchall()
