"""Where the events that are wanted may be, as postings say."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from tk_analytics_mw.queries import Filter, Order
from tk_analytics_mw.storage.sqlite.filters import ALWAYS
from tk_analytics_mw.storage.sqlite.postings import SEGMENT, ends, keys_of
from tk_analytics_mw.storage.sqlite.segments import BITS

MOST_SEARCHED: Final = 8 * SEGMENT
"""Events that may be searched one by one; beyond it postings are of no use yet."""

FEW: Final = 200
"""Postings that are read at once; where there are more, from one segment to the next, in the order of the list."""

_ORDERS: Final[dict[Order, tuple[str, str]]] = {
    # the index of segments, and the order that it has
    "newest": ("segments_last", "last DESC, segment DESC"),
    "oldest": ("segments_first", "first, segment"),
}
_READY: Final = "FROM segments WHERE ready = 1"


class Part(NamedTuple):
    """Events among which those that are wanted are: some from ``low`` to ``high``."""

    low: int
    high: int
    offsets: bytes | None = None
    first: str = ALWAYS[0]
    last: str = ALWAYS[1]
    """No event of it is earlier than ``first`` or later than ``last``."""
    events: int | None = None
    """How many of them are wanted, if postings say so."""

    @property
    def positions(self) -> list[int] | None:
        """Of the events that may be wanted; ``None`` for all of them."""
        return None if self.offsets is None else [self.low + offset for offset in array("H", self.offsets)]


class Found(NamedTuple):
    """Where the events are that are wanted."""

    keys: tuple[int, ...]
    """Of the postings that say it: those of one of the values that are asked for."""
    rare: bool
    """Whether there are few of these postings."""
    density: float
    """The part of a segment's events that have such a value, as the first of these postings say."""
    exact: bool
    """Whether such an event is wanted for certain, apart from its time."""
    searched: list[Part]
    """Of which there are no postings."""


def find(connection: sqlite3.Connection, wanted: Filter) -> Found | None:
    """Where the events of ``wanted`` are; ``None`` if postings cannot say.

    Args:
        connection: with a snapshot.
        wanted: which events.
    """
    keys = [*keys_of(wanted)]
    searched = _searched(connection) if keys else None
    if searched is None:
        return None
    found = [(*_first_few(connection, either), either) for either in keys]
    postings, events, either = min(found, key=itemgetter(0, 1))
    one_value = len(keys) == len(wanted.equals) + len(wanted.metadata) == 1
    # With a second key there may be events that have postings under no other.
    exact = one_value and not any(_first_few(connection, (key,))[0] for key in either[1:])
    return Found(either, postings < FEW, events / (postings or 1) / SEGMENT, exact, searched)


def parts_of(
    connection: sqlite3.Connection, found: Found, order: Order = "newest", times: tuple[str, str] = ALWAYS
) -> Iterator[Part]:
    """The segments with such postings, one after the other: of a frequent value most are never needed.

    Args:
        connection: with the snapshot in which they were found.
        found: which ones.
        order: by their newest event or by their oldest one.
        times: segments with no event from the one to the other are left out.
    """
    index, by = _ORDERS[order]
    # From the few postings of a rare value to their segments; else from one segment to the next, until it is enough.
    tables = "postings CROSS JOIN segments" if found.rare else f"segments INDEXED BY {index} CROSS JOIN postings"
    rows = connection.execute(
        f"SELECT segment, first, last, events, offsets FROM {tables} USING (look) "  # noqa: S608 - fixed words
        f"WHERE key IN (?, ?) AND ready = 1 AND last >= ? AND first <= ? ORDER BY {by}",
        (found.keys[0], found.keys[-1], *times),
    )
    for (segment, first, last), postings in groupby(rows, itemgetter(0, 1, 2)):
        low = segment << BITS
        numbers, offsets = zip(*(row[3:] for row in postings), strict=True)
        exact = found.exact and times[0] <= first and last <= times[1]
        yield Part(
            low,
            low + SEGMENT - 1,
            None if None in offsets else b"".join(offsets),
            first,
            last,
            sum(numbers) if exact else None,
        )


def _first_few(connection: sqlite3.Connection, keys: tuple[int, ...]) -> tuple[int, int]:
    """How many postings there are, and events in them. No more than a few are counted."""
    # Without a look at the segments, which may be forgotten: it only decides which way is the shorter one.
    postings, events = connection.execute(
        "SELECT count(*), ifnull(sum(events), 0) FROM (SELECT events FROM postings WHERE key IN (?, ?) LIMIT ?)",
        (keys[0], keys[-1], FEW),
    ).fetchone()
    return int(postings), int(events)


def _searched(connection: sqlite3.Connection) -> list[Part] | None:
    """What has no postings; ``None`` if that is too much for postings to be of use."""
    searched = [*_stretches(connection)]
    return searched if sum(part.high - part.low + 1 for part in searched) <= MOST_SEARCHED else None


def _stretches(connection: sqlite3.Connection) -> Iterator[Part]:
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
