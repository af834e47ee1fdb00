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
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from sqlalchemy import TextClause, Connection, and_, bindparam, delete, func, literal, or_, select, text, update
from sqlalchemy.dialects import mysql, postgresql

from tk_analytics_mw.errors import ReadTooLong, StorageUnavailable
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.schema import hour_totals, positions, summed_days
from tk_analytics_mw.storage.sql.spans import organisations, span
from tk_analytics_mw.storage.sql.types import Moment

logger: Final = logging.getLogger("tk_analytics_mw.storage")

ALL_TYPES: Final = ""
"""Stands for every event type."""

FIRST: Final = 8
"""Days that are summed up together at first."""

MOST: Final = 64
ONE_STEP: Final = 0.1
"""Seconds that one step is to take: so long whoever writes to such a past day waits."""


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
        deadline = time.monotonic() + seconds
        try:
            self._sum_up_all(org_id, first, end, lambda _: time.monotonic() > deadline)
        except (StorageUnavailable, ReadTooLong) as error:
            logger.warning("days were not summed up: %s", error)

    def rebuild(self, progress: Callable[[int, int], None]) -> None:
        """See :meth:`Figures.rebuild <tk_analytics_mw.storage.figures.Figures.rebuild>`."""
        with self._connections.writing() as connection:
            connection.execute(delete(hour_totals))
            connection.execute(delete(summed_days))
        with self._connections.reading() as connection:
            spans = {org_id: span(connection, org_id) for org_id in organisations(connection)}
        days = {org_id: (found[0].date(), found[1].date()) for org_id, found in spans.items() if found is not None}
        total = sum((end - first).days for first, end in days.values())
        done = 0
        for org_id, (first, end) in days.items():

            def told(number: int, before: int = done) -> bool:
                progress(before + number, total)
                return False

            self._sum_up_all(org_id, first, end, told)
            done += (end - first).days
        progress(total, total)

    def _sum_up_all(self, org_id: str, first: date, end: date, stop: Callable[[int], bool]) -> None:
        with self._connections.reading() as connection:
            summed = {*days_summed(connection, org_id, first, end)}
        every = (end - timedelta(days=number) for number in range(1, (end - first).days + 1))
        days = [day for day in every if day not in summed]
        done, size = 0, FIRST
        while done < len(days) and not stop(done):
            began = time.monotonic()
            self._sum_up(org_id, days[done : done + size])
            done += size
            took = max(time.monotonic() - began, 1e-3)
            size = max(1, min(MOST, int(size * min(4.0, ONE_STEP / took))))

    def _sum_up(self, org_id: str, days: Sequence[date]) -> None:
        token = secrets.token_hex(8)
        claim = _claim(self._connections.is_postgresql)
        with self._connections.writing() as connection:
            connection.execute(claim, [{"org_id": org_id, "day": day, "token": token} for day in days])
        barrier = select(positions.c.last).with_for_update()
        with self._connections.writing() as connection:
            connection.execute(barrier).all()
        with self._connections.writing() as connection:
            ours = and_(
                summed_days.c.org_id == org_id, summed_days.c.day.in_(days), summed_days.c.token == token
            )
            got = connection.execute(select(summed_days.c.day).where(ours).with_for_update()).scalars().all()
            if got:
                connection.execute(update(summed_days).where(ours).values(token=None))
                _add(connection, org_id, got)


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
    return [*found.scalars()]


def forget(connection: Connection, days: Iterable[tuple[str, date]]) -> None:
    """Forget days of organisations, in the transaction that changes them: where no trigger does it."""
    known = sorted({*days})
    for first in range(0, len(known), 500):
        some = known[first : first + 500]
        connection.execute(
            delete(summed_days).where(
                or_(*(and_(summed_days.c.org_id == org_id, summed_days.c.day == day) for org_id, day in some))
            )
        )


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
    return other.on_duplicate_key_update(
        token=func.if_(summed_days.c.token.is_(None), literal(None), other.inserted.token)
    )


def _add(connection: Connection, org_id: str, days: Sequence[date]) -> None:
    """Count the events of days, by hour and type, and all types together."""
    kind = "postgresql" if connection.dialect.name == "postgresql" else "mysql"
    values = {
        "org_id": org_id,
        "days": [*days],
        "since": start_of(min(days)),
        "until": start_of(max(days) + timedelta(days=1)),
    }
    connection.execute(_BY_TYPE[kind], values)
    connection.execute(_TOGETHER, {"org_id": org_id, "days": [*days]})


def start_of(day: date) -> datetime:
    """The first moment of a day, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


def _by_type(day: str, hour: str) -> TextClause:
    return text(f"""
        INSERT INTO tk_analytics_hour_totals (org_id, day, hour, event_type, events)
        SELECT :org_id, {day}, {hour}, event_type, count(*) FROM tk_analytics_events
        WHERE org_id = :org_id AND created_at >= :since AND created_at < :until AND position IS NOT NULL
            AND {day} IN :days
        GROUP BY 1, 2, 3, 4
    """).bindparams(  # noqa: S608 - names of columns
        bindparam("days", expanding=True), bindparam("since", type_=Moment()), bindparam("until", type_=Moment())
    )


_BY_TYPE: Final = {
    "postgresql": _by_type(
        "CAST(created_at AT TIME ZONE 'UTC' AS date)", "CAST(extract(hour FROM created_at AT TIME ZONE 'UTC') AS int)"
    ),
    "mysql": _by_type("DATE(created_at)", "HOUR(created_at)"),
}
_TOGETHER: Final = text(f"""
    INSERT INTO tk_analytics_hour_totals (org_id, day, hour, event_type, events)
    SELECT org_id, day, hour, '{ALL_TYPES}', sum(events) FROM tk_analytics_hour_totals
    WHERE org_id = :org_id AND day IN :days GROUP BY org_id, day, hour
""").bindparams(bindparam("days", expanding=True))  # noqa: S608 - a word of ours
