"""Summing days up, and counting everything again. :mod:`.totals` says what for."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from tk_analytics_mw.errors import ReadTooLong, StorageUnavailable
from tk_analytics_mw.storage.sqlite.connections import READ_SECONDS, Connections
from tk_analytics_mw.storage.sqlite.totals import PARTS

logger: Final = logging.getLogger("tk_analytics_mw.storage")

AT_ONCE: Final = 4
"""Days that are written together. With 3,500 events a day, others wait some 6 ms for that."""

SECONDS: Final = READ_SECONDS / 2
"""How long a question may sum up days before it is answered. It looks at the events of the others."""

_PARTS: Final = ", ".join(PARTS)
_SUM_UP: Final = f"""
    SELECT {_PARTS}, count(*), sum(metric) FROM events INDEXED BY events_time
    WHERE org_id = ? AND created_at >= ? AND created_at < ? || 'U' GROUP BY {_PARTS}
"""  # noqa: S608 - names of columns; U follows the T between day and time
_ADD: Final = f"""
    INSERT INTO day_totals (org_id, day, {_PARTS}, events, metric) VALUES (?, ?, {", ".join("?" * len(PARTS))}, ?, ?)
"""  # noqa: S608 - names of columns
_MISSING: Final = """
    SELECT DISTINCT substr(hour, 1, 10) AS day FROM hour_totals
    WHERE org_id = ?1 AND event_type = '' AND hour >= ?2 AND hour < ?3
        AND NOT EXISTS (SELECT 1 FROM summed_days WHERE org_id = ?1 AND day = substr(hour, 1, 10) AND token IS NULL)
    ORDER BY day DESC
"""
_COUNT_HOURS: Final = """
    INSERT INTO hour_totals (org_id, event_type, hour, events)
    SELECT org_id, event_type, substr(created_at, 1, 13), count(*) FROM events INDEXED BY events_time
    WHERE org_id = ? AND created_at >= ? AND created_at < ? GROUP BY 2, 3
"""
_COUNT_ALL: Final = """
    INSERT INTO hour_totals (org_id, event_type, hour, events)
    SELECT org_id, '', hour, sum(events) FROM hour_totals
    WHERE org_id = ? AND hour >= ? AND hour < ? AND event_type != '' GROUP BY 3
"""


class Summaries:
    """Sums days up.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def prepare(self, org_id: str, first: str, end: str) -> None:
        """Sum up the days from ``first`` to before ``end`` that are not, the latest first, as far as time allows.

        What cannot be written now is left for the next one who asks.
        """
        deadline = time.monotonic() + SECONDS
        try:
            days = self._missing(org_id, first, end)
            for number in range(0, len(days), AT_ONCE):
                if time.monotonic() > deadline:
                    return
                self._sum_up(org_id, days[number : number + AT_ONCE])
        except (StorageUnavailable, ReadTooLong) as error:
            logger.warning("days were not summed up: %s", error)

    def rebuild(self, progress: Callable[[int, int], None]) -> None:
        """See :meth:`Figures.rebuild <tk_analytics_mw.storage.figures.Figures.rebuild>`."""
        with self._connections.reading() as snapshot:
            weeks = [(org_id, week) for org_id in organisations(snapshot) for week in _weeks(snapshot, org_id)]
        for done, (org_id, week) in enumerate(weeks):
            progress(done, len(weeks))
            self._rebuild_week(org_id, week)
        progress(len(weeks), len(weeks))

    def _missing(self, org_id: str, first: str, end: str) -> list[str]:
        with self._connections.reading() as snapshot:
            return [day for (day,) in snapshot.execute(_MISSING, (org_id, first, end))]

    def _sum_up(self, org_id: str, days: Sequence[str]) -> None:
        token = secrets.token_hex(8)
        with self._connections.transaction() as connection:
            connection.executemany(
                "INSERT INTO summed_days (org_id, day, token) VALUES (?, ?, ?) "
                "ON CONFLICT (org_id, day) DO UPDATE SET token = excluded.token WHERE token IS NOT NULL",
                [(org_id, day, token) for day in days],
            )
        with self._connections.reading() as snapshot:
            found = {day: snapshot.execute(_SUM_UP, (org_id, day, day)).fetchall() for day in days}
        with self._connections.transaction() as connection:
            for day, rows in found.items():
                done = connection.execute(
                    "UPDATE summed_days SET token = NULL WHERE org_id = ? AND day = ? AND token = ?",
                    (org_id, day, token),
                )
                if done.rowcount:
                    connection.executemany(_ADD, [(org_id, day, *row) for row in rows])

    def _rebuild_week(self, org_id: str, week: str) -> None:
        end = str(date.fromisoformat(week) + timedelta(days=7))
        with self._connections.transaction() as connection:
            connection.execute(
                "DELETE FROM hour_totals WHERE org_id = ? AND hour >= ? AND hour < ?", (org_id, week, end)
            )
            connection.execute(_COUNT_HOURS, (org_id, week, end))
            connection.execute(_COUNT_ALL, (org_id, week, end))
            connection.execute("DELETE FROM summed_days WHERE org_id = ? AND day >= ? AND day < ?", (org_id, week, end))
            # Rows that no summed day stands for: there are none, unless somebody changed the file by hand.
            connection.execute("DELETE FROM day_totals WHERE org_id = ? AND day >= ? AND day < ?", (org_id, week, end))
        days = self._missing(org_id, week, end)
        for number in range(0, len(days), AT_ONCE):
            self._sum_up(org_id, days[number : number + AT_ONCE])


def organisations(connection: sqlite3.Connection) -> Iterator[str]:
    """Those that have events or totals: from one to the next through the indexes, not through the events."""
    org_id = ""
    while True:
        [found] = connection.execute(
            "SELECT min(org_id) FROM (SELECT min(org_id) AS org_id FROM events WHERE org_id > ?1 "
            "UNION ALL SELECT min(org_id) FROM hour_totals WHERE org_id > ?1)",
            (org_id,),
        ).fetchone()
        if found is None:
            return
        org_id = found
        yield org_id


def _weeks(connection: sqlite3.Connection, org_id: str) -> Iterator[str]:
    """The Mondays of the weeks that it may have events or totals in."""
    first, last = connection.execute(
        "SELECT min(first), max(last) FROM ("
        "SELECT min(created_at) AS first, max(created_at) AS last FROM events WHERE org_id = ?1 "
        "UNION ALL SELECT min(hour), max(hour) FROM hour_totals WHERE org_id = ?1)",
        (org_id,),
    ).fetchone()
    day, end = date.fromisoformat(first[:10]), date.fromisoformat(last[:10])
    day -= timedelta(days=day.weekday())
    while day <= end:
        yield str(day)
        day += timedelta(days=7)
