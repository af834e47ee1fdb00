"""An inverted index: for a value, the events that have it. Made by who asks, never by who stores.

An index of SQLite's over sessions, whose ids are random, lands on another page with each event: with ten million
of them a create took three times as long. So events are looked at a segment at a time, :data:`SEGMENT` of them in
the order of commits, once the segment is complete and somebody asks for what it may hold. A posting says which of its
events have one value of one field, under a number that stands for both; what it finds is checked against the event
itself. The newest events, and segments that nobody has looked at yet, are searched one by one.

Triggers forget a segment as soon as one of its events changes or goes, so that the counts of postings are right. A
look has a number of its own that is never used again: postings of a segment that was forgotten are found no more.
While a segment is being looked at it is not ``ready``; if it is forgotten meanwhile, the look is thrown away.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

from tk_analytics_mw.errors import ReadTooLong, StorageUnavailable
from tk_analytics_mw.queries import EQUAL_COLUMNS, Filter
from tk_analytics_mw.storage.sqlite.connections import Connections
from tk_analytics_mw.storage.sqlite.segments import BITS

logger: Final = logging.getLogger("tk_analytics_mw.storage")

SEGMENT: Final = 1 << BITS
"""Events of a segment. To search one without postings takes some 2 ms."""

MANY: Final = 512
"""Events with one value in a segment from which on it is searched, and the posting does not say which they are. That of
so many takes 1 KB."""

MOST_PAIRS: Final = 64
"""Keys of an event's metadata that have postings. An event with more is a candidate for every key."""

SECONDS: Final = 0.5
"""How long one question may look at segments before it is answered."""

_FIELDS: Final = tuple(name for name in EQUAL_COLUMNS if name != "id")  # an id has an index of its own
_CROWDED: Final = ("", "")  # stands for events with more than MOST_PAIRS


class Postings:
    """Looks at segments.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._looking = threading.Lock()

    def prepare(self, wanted: Filter) -> None:
        """Look at segments that nobody has looked at, as far as time allows. What cannot be written is left."""
        if not [*keys_of(wanted)] or not self._looking.acquire(blocking=False):
            return
        try:
            self.look(SECONDS)
        finally:
            self._looking.release()

    def look(self, seconds: float) -> bool:
        """Look at segments for so long, the latest first. Give whether there are more."""
        deadline = time.monotonic() + seconds
        try:
            for segment in self.missing():
                if time.monotonic() > deadline:
                    return True
                self.look_at(segment)
        except (StorageUnavailable, ReadTooLong) as error:
            logger.warning("segments were not looked at: %s", error)
        return False

    def missing(self) -> list[int]:
        """The complete segments that nobody has looked at, the latest first."""
        with self._connections.reading() as snapshot:
            return [*_missing(snapshot)][::-1]

    def look_at(self, segment: int) -> None:
        """Make the postings of a segment, unless they are there."""
        with self._connections.transaction() as connection:
            ready = connection.execute("SELECT 1 FROM segments WHERE segment = ? AND ready", (segment,)).fetchone()
            if ready:
                return  # another process was faster
            connection.execute("INSERT OR REPLACE INTO segments (segment) VALUES (?)", (segment,))
            [look] = connection.execute("SELECT look FROM segments WHERE segment = ?", (segment,)).fetchone()
        with self._connections.reading() as snapshot:
            rows = snapshot.execute(
                f"SELECT position, created_at, org_id, event_metadata, {', '.join(_FIELDS)} FROM events NOT INDEXED "  # noqa: S608
                "WHERE position >= ? AND position < ?",
                (segment << BITS, segment + 1 << BITS),
            ).fetchall()
        postings = [
            (key, look, len(offsets), offsets.tobytes() if len(offsets) < MANY else None)
            for key, offsets in sorted(_postings(rows).items())
        ]
        times = [row[1] for row in rows]
        with self._connections.transaction() as connection:
            done = connection.execute(
                "UPDATE segments SET ready = 1, first = ?, last = ? WHERE look = ?",
                (min(times, default=""), max(times, default=""), look),
            )
            if done.rowcount:
                connection.executemany("INSERT INTO postings VALUES (?, ?, ?, ?)", postings)


def ends(connection: sqlite3.Connection) -> tuple[int, int]:
    """The first and the last position of events; an empty range without any."""
    # Each for itself: for both at once SQLite would go through the whole table.
    [low] = connection.execute("SELECT min(position) FROM events").fetchone()
    [high] = connection.execute("SELECT max(position) FROM events").fetchone()
    return low or 0, high or -1


def _missing(connection: sqlite3.Connection) -> Iterator[int]:
    first, last = ends(connection)
    [number] = connection.execute("SELECT count(*) FROM segments WHERE ready = 1").fetchone()
    if number >= (last >> BITS) - (first >> BITS):  # the last one is not complete
        return
    ready = {segment for (segment,) in connection.execute("SELECT segment FROM segments WHERE ready = 1")}
    yield from (segment for segment in range(first >> BITS, last >> BITS) if segment not in ready)


def _postings(rows: Iterable[tuple[Any, ...]]) -> dict[int, array[int]]:
    found: dict[tuple[str, str, Any], array[int]] = defaultdict(lambda: array("H"))
    metadata: dict[str, list[tuple[str, Any]]] = {}
    for position, _, org_id, text, *values in rows:
        offset = position & SEGMENT - 1
        for name, value in zip(_FIELDS, values, strict=True):
            if value is not None:
                found[org_id, name, value].append(offset)
        if text is not None:
            pairs = metadata.get(text)
            if pairs is None:
                pairs = metadata[text] = _pairs(json.loads(text))
            for key, value in pairs:
                found[org_id, key, value].append(offset)
    return {_key(*each): offsets for each, offsets in found.items()}


def _pairs(metadata: dict[str, Any]) -> list[tuple[str, Any]]:
    pairs = [(_name_of(key), _typed(value)) for key, value in metadata.items() if not isinstance(value, (dict, list))]
    return pairs if len(pairs) <= MOST_PAIRS else [_CROWDED]


def keys_of(wanted: Filter) -> Iterator[tuple[int, ...]]:
    """For each value that is asked for, the numbers of the postings that have it."""
    for name, value in wanted.equals.items():
        if name in _FIELDS:
            yield (_key(wanted.org_id, name, value),)
    for key, each in wanted.metadata.items():
        yield _key(wanted.org_id, _name_of(key), _typed(each)), _key(wanted.org_id, *_CROWDED)


def _name_of(key: str) -> str:
    return f".{key}"  # unlike the name of any field


def _typed(value: Any) -> Any:
    # 1, 1.0 and true are equal in Python, and the last one is not in JSON; "1" is none of them.
    if isinstance(value, (bool, type(None))):
        return f"json {value}"
    return f"text {value}" if isinstance(value, str) else float(value)


def _key(org_id: str, name: str, value: Any) -> int:
    text = value if isinstance(value, str) else repr(float(value))
    digest = blake2b(f"{len(org_id)} {org_id}{len(name)} {name}{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
