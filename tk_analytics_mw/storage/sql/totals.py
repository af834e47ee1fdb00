"""What is kept counted: the events of each hour of past days, summed up when somebody first asks for them.

``tk_analytics_summed_days`` says which days are. A day is forgotten, with its hours, as soon as one of its events comes
or goes, in the transaction of whoever does that: a summary is right, or it is not there. On PostgreSQL triggers do it,
once for each statement and not for each event; they look with a snapshot of their own, taken when the writer has the
lock that all writers wait for. Events without a position are not there yet: they come when they get one.

To sum up a day takes three steps. Its row is committed, with a token: from now on whoever changes the day removes the
row. Then one waits for those who write at this moment, and may have looked for the row too early. Then the events are
counted, while the row is locked: who has to remove it waits, and removes what was counted with it.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, func, null, or_, select, text, update
from sqlalchemy.dialects import mysql, postgresql

from tk_analytics_mw.errors import ReadTooLong, StorageUnavailable
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.schema import events, hour_totals, positions, summed_days

logger: Final = logging.getLogger("tk_analytics_mw.storage")

ALL_TYPES: Final = ""
"""Stands for every event type."""

FIRST: Final = 8
"""Days that are summed up together at first."""

MOST: Final = 256
ONE_STEP: Final = 0.1
"""Seconds that one step is to take: so long whoever writes to such a past day waits."""


ALL_SECONDS: Final = 600.0
"""For a look at the times of all events."""

Day = tuple[str, date]
"""Of an organisation."""


class Totals:
    """Sums days up.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def prepare(self, org_id: str, first: date, end: date, *, seconds: float) -> None:
        """Sum up the days from ``first`` to before ``end`` that are not, the latest first.

        What cannot be written now, or not in so many seconds, is left for the next one who asks.
        """
        with self._connections.reading() as connection:
            days = missing_days(connection, org_id, first, end)
        self.sum_up(days, seconds=seconds)

    def sum_up(self, days: Sequence[Day], *, seconds: float) -> None:
        """The same, of days that are known to be missing."""
        deadline = time.monotonic() + seconds
        try:
            self._sum_up_all(days, lambda _: time.monotonic() > deadline)
        except (StorageUnavailable, ReadTooLong) as error:
            logger.warning("days were not summed up: %s", error)

    def rebuild(self, progress: Callable[[int, int], None]) -> None:
        """See :meth:`Figures.rebuild <tk_analytics_mw.storage.figures.Figures.rebuild>`."""
        with self._connections.writing() as connection:
            connection.execute(delete(hour_totals))
            connection.execute(delete(summed_days))
        with self._connections.reading(seconds=ALL_SECONDS) as connection:
            spans = connection.execute(
                select(events.c.org_id, func.min(events.c.created_at), func.max(events.c.created_at))
                .where(events.c.position.is_not(None))
                .group_by(events.c.org_id)
            ).all()
        days = [(org_id, day) for org_id, first, last in spans for day in _days(day_of(first), day_of(last))]

        def tell(done: int) -> bool:
            progress(done, len(days))
            return False

        self._sum_up_all(days, tell)
        progress(len(days), len(days))

    def _sum_up_all(self, days: Sequence[Day], stop: Callable[[int], bool]) -> None:
        done, size = 0, FIRST
        while done < len(days) and not stop(done):
            began = time.monotonic()
            self._sum_up(days[done : done + size])
            done += size
            took = max(time.monotonic() - began, 1e-3)
            size = max(1, min(MOST, int(size * min(4.0, ONE_STEP / took))))

    def _sum_up(self, days: Sequence[Day]) -> None:
        token = secrets.token_hex(16)
        kind = "postgresql" if self._connections.is_postgresql else "mysql"
        with self._connections.writing() as connection:
            rows = [{"org_id": org_id, "day": day, "token": token} for org_id, day in sorted(days)]
            connection.execute(_claim(self._connections.is_postgresql), rows)
        with self._connections.writing() as connection:
            lock_counter(connection)
        with self._connections.writing() as connection:
            ours = summed_days.c.token == token
            connection.execute(select(summed_days.c.day).where(ours).with_for_update()).all()
            connection.execute(_BY_TYPE[kind], {"token": token})
            connection.execute(_TOGETHER, {"token": token})
            connection.execute(update(summed_days).where(ours).values(token=None))


def missing_days(connection: Connection, org_id: str, first: date, end: date) -> list[Day]:
    """The days that are not summed up, the latest first. One without events is summed up as well: so nobody looks for
    any a second time."""
    summed = {*days_summed(connection, org_id, first, end)}
    return [(org_id, day) for day in _days(first, end) if day not in summed]


def _days(first: date, end: date) -> Iterator[date]:
    """From ``first`` to before ``end``, the latest first."""
    return (end - timedelta(days=number) for number in range(1, (end - first).days + 1))


def days_summed(connection: Connection, org_id: str, first: date, end: date) -> list[date]:
    """The days from ``first`` to before ``end`` that are summed up, ascending."""
    found = connection.execute(
        select(summed_days.c.day)
        .where(
            summed_days.c.org_id == org_id,
            summed_days.c.day >= first,
            summed_days.c.day < end,
            summed_days.c.token.is_(None),
        )
        .order_by(summed_days.c.day)
    )
    return [*found.scalars().all()]  # twice as fast as one by one


def forget(connection: Connection, days: Iterable[Day]) -> None:
    """Forget days of organisations, in the transaction that changes them: where no trigger does it."""
    known = sorted({*days})
    for first in range(0, len(known), 500):
        some = known[first : first + 500]
        connection.execute(
            delete(summed_days).where(
                or_(*(and_(summed_days.c.org_id == org_id, summed_days.c.day == day) for org_id, day in some))
            )
        )


def lock_counter(connection: Connection) -> None:
    """Wait for whoever writes: until our transaction ends nobody else changes what is counted."""
    connection.execute(select(positions.c.last).with_for_update()).all()


def day_of(moment: datetime) -> date:
    """Its day, in UTC."""
    return moment.astimezone(timezone.utc).date()


def _claim(is_postgresql: bool) -> Any:
    """Note that a day is being summed up; one that has been is left as it is."""
    if is_postgresql:
        insert = postgresql.insert(summed_days)
        return insert.on_conflict_do_update(
            index_elements=["org_id", "day"],
            set_={"token": insert.excluded.token},
            where=summed_days.c.token.is_not(None),
        )
    other = mysql.insert(summed_days)
    return other.on_duplicate_key_update(token=func.if_(summed_days.c.token.is_(None), null(), other.inserted.token))


def start_of(day: date) -> datetime:
    """The first moment of a day, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


# Count the events of our days, by hour and type. PostgreSQL is to look at one day after the other, through the index by
# time: left to itself, and without statistics of a table that has just been filled, it goes through all events.
_BY_TYPE: Final = {
    "postgresql": text("""
        INSERT INTO tk_analytics_hour_totals (org_id, day, hour, event_type, events)
        SELECT summed.org_id, summed.day, total.hour, total.event_type, total.events
        FROM tk_analytics_summed_days AS summed CROSS JOIN LATERAL (
            SELECT CAST(extract(hour FROM event.created_at AT TIME ZONE 'UTC') AS int) AS hour,
                event.event_type, count(*) AS events
            FROM tk_analytics_events AS event
            WHERE event.org_id = summed.org_id AND event.position IS NOT NULL
                AND event.created_at >= CAST(summed.day AS timestamp) AT TIME ZONE 'UTC'
                AND event.created_at < CAST(summed.day + 1 AS timestamp) AT TIME ZONE 'UTC'
            GROUP BY 1, 2
        ) AS total
        WHERE summed.token = :token
    """),
    "mysql": text("""
        INSERT INTO tk_analytics_hour_totals (org_id, day, hour, event_type, events)
        SELECT summed.org_id, summed.day, HOUR(event.created_at), event.event_type, count(*)
        FROM tk_analytics_summed_days AS summed JOIN tk_analytics_events AS event
            ON event.org_id = summed.org_id AND event.created_at >= CAST(summed.day AS datetime)
            AND event.created_at < CAST(summed.day AS datetime) + INTERVAL 1 DAY
        WHERE summed.token = :token AND event.position IS NOT NULL
        GROUP BY 1, 2, 3, 4
    """),
}
_TOGETHER: Final = text(f"""
    INSERT INTO tk_analytics_hour_totals (org_id, day, hour, event_type, events)
    SELECT total.org_id, total.day, total.hour, '{ALL_TYPES}', sum(total.events)
    FROM tk_analytics_summed_days AS summed JOIN tk_analytics_hour_totals AS total
        ON total.org_id = summed.org_id AND total.day = summed.day
    WHERE summed.token = :token GROUP BY 1, 2, 3
""")  # noqa: S608 - a word of ours
