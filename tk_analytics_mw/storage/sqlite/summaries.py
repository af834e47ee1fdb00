"""Summing days up. :mod:`.totals` says what for."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final

from tk_analytics_mw.errors import ReadTooLong, StorageUnavailable
from tk_analytics_mw.storage.sqlite.connections import READ_SECONDS, Connections
from tk_analytics_mw.storage.sqlite.totals import ALL_TYPES, PARTS

logger: Final = logging.getLogger("tk_analytics_mw.storage")

AT_ONCE: Final = 4
"""Days that are written together. With 3,500 events a day, others wait some 8 ms for that."""

COUNTS_FASTER: Final = 16
"""So many times as fast as it is summed up a day's events are counted: some 10,000,000 a second."""

SAFE: Final = 0.6
"""Part of a question's time that what is left may seem to take: some days have more events than others."""

_PARTS: Final = ", ".join(PARTS)
_SUM_UP: Final = f"""
    SELECT substr(created_at, 1, 13) AS hour, {_PARTS}, count(*), sum(metric) FROM events INDEXED BY events_time
    WHERE org_id = ? AND created_at >= ? AND created_at < ? || 'U' GROUP BY {_PARTS}, hour
"""  # noqa: S608 - names of columns; U follows the T between day and time
_ADD: Final = f"""
    INSERT INTO day_totals (org_id, day, {_PARTS}, events, metric) VALUES (?, ?, {", ".join("?" * len(PARTS))}, ?, ?)
"""  # noqa: S608 - names of columns
_ADD_HOURS: Final = "INSERT OR REPLACE INTO hour_totals (org_id, event_type, hour, events) VALUES (?, ?, ?, ?)"


class Summaries:
    """Sums days up.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def prepare(self, org_id: str, first: str, end: str, *, seconds: float, faster: float) -> None:
        """Sum up the days from ``first`` to before ``end`` that are not, the latest first.

        What cannot be written now, or not in so many seconds, is left: its events are looked at. If that would take
        too long, days are summed up for as long as a question may take, and who asks again finds them.

        Args:
            org_id: whose.
            first: day.
            end: the day behind the last one.
            seconds: that summing up may take.
            faster: so many times as fast the events of a day are looked at as it is summed up.

        Raises:
            ReadTooLong: there are too many days; it says how many of them are summed up.
        """
        started = time.monotonic()
        try:
            days = self._missing(org_id, first, end)
            for number in range(0, len(days), AT_ONCE):
                passed = time.monotonic() - started
                if number and passed > seconds:
                    rest = passed * (len(days) - number) / number / faster
                    if rest < READ_SECONDS * SAFE:
                        return
                    if passed > READ_SECONDS:
                        every = _days_between(first, end)
                        raise ReadTooLong(READ_SECONDS, counted=1 - (len(days) - number) / every)
                self._sum_up(org_id, days[number : number + AT_ONCE])
        except (StorageUnavailable, ReadTooLong) as error:
            if isinstance(error, ReadTooLong) and error.counted is not None:
                raise
            logger.warning("days were not summed up: %s", error)

    def rebuild(self, progress: Callable[[int, int], None]) -> int:
        """Sum up all days anew, and give how many there are. See :meth:`Figures.rebuild
        <tk_analytics_mw.storage.figures.Figures.rebuild>`."""
        with self._connections.transaction() as connection:
            connection.execute("DELETE FROM summed_days")
            # Those of no summed day: there are none, unless somebody changed the file by hand.
            connection.execute("DELETE FROM day_totals")
            connection.execute("DELETE FROM hour_totals")
        with self._connections.reading() as snapshot:
            spans = [(org_id, *span(snapshot, org_id)) for org_id in organisations(snapshot)]
        missing = {org_id: self._missing(org_id, first, end) for org_id, first, end in spans}
        number = sum(map(len, missing.values()))
        done = 0
        for org_id, days in missing.items():
            for start in range(0, len(days), AT_ONCE):
                progress(done + start, number)
                self._sum_up(org_id, days[start : start + AT_ONCE])
            done += len(days)
        progress(number, number)
        return number

    def _missing(self, org_id: str, first: str, end: str) -> list[str]:
        """The latest first. A day without events is summed up as well: so nobody looks for any a second time."""
        with self._connections.reading() as snapshot:
            summed = {*summed_days(snapshot, org_id, first, end)}
        days = _days_between(first, end)
        latest = date.fromisoformat(end) - timedelta(days=1)
        every = (str(latest - timedelta(days=number)) for number in range(days))
        return [day for day in every if day not in summed]

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
            for day, parts in found.items():
                done = connection.execute(
                    "UPDATE summed_days SET token = NULL WHERE org_id = ? AND day = ? AND token = ?",
                    (org_id, day, token),
                )
                if done.rowcount:
                    # A session that goes on over an hour has two rows then, of which only sums are asked.
                    connection.executemany(_ADD, [(org_id, day, *row) for _, *row in parts])
                    connection.executemany(_ADD_HOURS, [(org_id, *each, events) for each, events in _hours(parts)])


def _hours(parts: Iterable[Sequence[Any]]) -> Iterable[tuple[tuple[str, str], int]]:
    """How many events there are of each type, and of all, in each hour."""
    hours: Counter[tuple[str, str]] = Counter()
    for hour, event_type, *_, events, _metric in parts:
        hours[event_type, hour] += events
        hours[ALL_TYPES, hour] += events
    return hours.items()


def _days_between(first: str, end: str) -> int:
    return (date.fromisoformat(end) - date.fromisoformat(first)).days


def summed_days(connection: sqlite3.Connection, org_id: str, first: str, end: str) -> list[str]:
    """The days from ``first`` to before ``end`` that are summed up, ascending."""
    rows = connection.execute(
        "SELECT day FROM summed_days WHERE org_id = ? AND day >= ? AND day < ? AND token IS NULL ORDER BY day",
        (org_id, first, end),
    )
    return [day for (day,) in rows]


def organisations(connection: sqlite3.Connection) -> Iterator[str]:
    """Those that have events: from one to the next through an index, not through the events."""
    org_id = ""
    while True:
        [found] = connection.execute("SELECT min(org_id) FROM events WHERE org_id > ?", (org_id,)).fetchone()
        if found is None:
            return
        org_id = found
        yield org_id


def span(connection: sqlite3.Connection, org_id: str) -> tuple[str, str]:
    """The days of the first event and of the last one. That one may still grow: it is where a span ends."""
    [first] = connection.execute("SELECT min(created_at) FROM events WHERE org_id = ?", (org_id,)).fetchone()
    [last] = connection.execute("SELECT max(created_at) FROM events WHERE org_id = ?", (org_id,)).fetchone()
    return first[:10], last[:10]


def day_after(day: str) -> str:
    """The day that follows ``day``."""
    return str(date.fromisoformat(day) + timedelta(days=1))
