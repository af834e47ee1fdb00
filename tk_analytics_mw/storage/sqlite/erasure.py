"""Erasing events from the SQLite file: their rows, their deliveries, and what the log still has of them.

The connection that writes has ``secure_delete`` on: SQLite overwrites what it deletes. (Some builds have it
off: 127 copies of an erased id were found in the file.)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from tk_analytics_mw.identifiers import first_event_id
from tk_analytics_mw.storage.erasure import SLICE, Erased, Progress, Subject
from tk_analytics_mw.storage.sqlite.connections import Connections

SCAN: Final = 50_000
"""Positions looked through by one statement: there is no index over users, which every event would pay for."""

SWEEP: Final = 5_000
"""Postings looked through within one transaction: some 3 ms, for which writers wait."""

_SWEPT: Final = "SELECT key FROM postings WHERE key >= ? ORDER BY key LIMIT 1 OFFSET ?"
_SWEEP: Final = "DELETE FROM postings WHERE key BETWEEN ? AND ? AND look NOT IN (SELECT look FROM segments)"
_VALUES: Final = 500  # in one statement; SQLite before 3.32 allows 999

# DISTINCT would read all deliveries; this jumps from name to name.
_NAMES: Final = """
    WITH RECURSIVE names (name) AS (
        SELECT min(name) FROM deliveries
        UNION ALL
        SELECT (SELECT min(name) FROM deliveries WHERE name > names.name) FROM names WHERE name IS NOT NULL
    )
    SELECT name FROM names WHERE name IS NOT NULL
"""


class SqliteErasure:
    """See :class:`~tk_analytics_mw.storage.erasure.Erasure`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def organisations(self, subject: Subject) -> list[str]:
        """See :meth:`Erasure.organisations <tk_analytics_mw.storage.erasure.Erasure.organisations>`."""
        condition, values = _condition(subject)
        found: set[str] = set()
        for start, stop, _ in self._scans():
            with self._connections.reading() as snapshot:
                found.update(
                    row[0]
                    for row in snapshot.execute(
                        f"SELECT DISTINCT org_id FROM events WHERE position > ? AND position <= ? AND {condition}",  # noqa: S608
                        (start, stop, *values),
                    )
                )
        return sorted(found)

    def erase(self, subject: Subject) -> Iterator[Progress]:
        """See :meth:`Erasure.erase <tk_analytics_mw.storage.erasure.Erasure.erase>`."""
        condition, values = _condition(subject)
        for start, stop, end in self._scans():
            with self._connections.reading() as snapshot:
                positions = _column(
                    snapshot,
                    f"SELECT position FROM events WHERE position > ? AND position <= ? AND {condition}",  # noqa: S608
                    (start, stop, *values),
                )
            erased = Erased()
            for first in range(0, len(positions), SLICE):
                with self._connections.transaction() as connection:
                    erased += _delete(connection, positions[first : first + SLICE])
            yield Progress(erased, stop, end)

    def count(self, before: datetime) -> int:
        """See :meth:`Erasure.count <tk_analytics_mw.storage.erasure.Erasure.count>`."""
        with self._connections.reading() as snapshot:
            number: int = snapshot.execute(
                "SELECT count(*) FROM events WHERE id < ?", (first_event_id(before),)
            ).fetchone()[0]
        return number

    def purge(self, before: datetime, limit: int = SLICE) -> Erased:
        """See :meth:`Erasure.purge <tk_analytics_mw.storage.erasure.Erasure.purge>`.

        The order of ids is that of time; that of positions is not: imported events are old and come late.
        """
        first = first_event_id(before)
        oldest = "SELECT position FROM events WHERE id < ? ORDER BY id LIMIT ?"
        with self._connections.reading() as snapshot:  # nearly always none: nobody is to wait for that
            if not _column(snapshot, oldest, (first, 1)):
                return Erased()
        with self._connections.transaction() as connection:
            return _delete(connection, _column(connection, oldest, (first, limit)))

    def finish(self) -> bool:
        """See :meth:`Erasure.finish <tk_analytics_mw.storage.erasure.Erasure.finish>`."""
        self._sweep()
        return self._connections.truncate_log()

    def _sweep(self) -> None:
        """Remove the postings of segments that were forgotten when an event of theirs went.

        They are found no more; but whoever has an id can still see in them that there once was such an event.
        """
        key: int | None = -(2**63)
        while key is not None:
            with self._connections.transaction() as connection:
                row = connection.execute(_SWEPT, (key, SWEEP)).fetchone()
                end = 2**63 - 1 if row is None else row[0]
                connection.execute(_SWEEP, (key, end))
                key = None if row is None else end

    def _scans(self) -> Iterator[tuple[int, int, int]]:
        with self._connections.reading() as snapshot:
            end: int = snapshot.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()[0]
        for start in range(0, end, SCAN):
            yield start, min(start + SCAN, end), end


def _condition(subject: Subject) -> tuple[str, tuple[str, ...]]:
    """A condition of fixed words, and the values for it."""
    given = {"user_id": subject.user_id, "session_id": subject.session_id, "org_id": subject.org_id}
    known = {name: value for name, value in given.items() if value is not None}
    return " AND ".join(f"{name} = ?" for name in known), tuple(known.values())


def _delete(connection: sqlite3.Connection, positions: Sequence[int]) -> Erased:
    """Delete the events at these positions, and everything that belongs to them, within the transaction."""
    events = deliveries = 0
    names = _column(connection, _NAMES)
    for first in range(0, len(positions), _VALUES):
        some = positions[first : first + _VALUES]
        places = ", ".join("?" * len(some))
        for name in names:
            deliveries += connection.execute(
                f"DELETE FROM deliveries WHERE name = ? AND position IN ({places})",  # noqa: S608
                (name, *some),
            ).rowcount
        events += connection.execute(f"DELETE FROM events WHERE position IN ({places})", some).rowcount  # noqa: S608
    return Erased(events, deliveries)


def _column(connection: sqlite3.Connection, statement: str, values: Sequence[Any] = ()) -> list[Any]:
    return [row[0] for row in connection.execute(statement, values)]
