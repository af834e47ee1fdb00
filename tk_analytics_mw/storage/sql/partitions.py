"""Events by month, as an option on PostgreSQL: each month's are a partition of the table, and old ones go as a whole.

The table is partitioned by ranges of ids, which hold the time: so an id is held once in all partitions, by its primary
key, and what is older than a moment is whole partitions and a part of one. An index that is not by id can be unique
within one partition only. Positions are unlike by the counter's lock; for idempotency keys there is a table beside, in
which a trigger notes each: who is too late is passed over, as by an index.

Whoever writes makes the month of what he writes, and the next one ahead of its time. Nobody has to wait for that, and
what has no month, or comes while it cannot be made, is held by one more partition until it can.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final

from sqlalchemy import URL, Connection, delete, text
from sqlalchemy.exc import DBAPIError

from tk_analytics_mw.errors import ConfigurationError, StorageUnavailable
from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import first_event_id, time_of
from tk_analytics_mw.storage.erasure import Erased
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.faults import is_lock_timeout, is_missing
from tk_analytics_mw.storage.sql.filters import is_id
from tk_analytics_mw.storage.sql.schema import deliveries
from tk_analytics_mw.storage.sql.totals import forget

logger: Final = logging.getLogger("tk_analytics_mw.storage")

OTHER: Final = "tk_analytics_events_other"
"""The partition of what has no other."""

YEARS: Final = 20
"""Months that are made go so far back: a question opens all of them."""

PATIENCE: Final = "100ms"
"""How long to wait for a lock: others wait behind us."""

AGAIN: Final = 60.0
"""Seconds until a month that could not be made is tried again."""

_LOCK: Final = 7_011_205_101
"""Of two who make a month the second waits, and finds it there."""

_NAME: Final = re.compile(r"tk_analytics_events_(\d{4})_(\d\d)")
_NAMES: Final = text("""
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = to_regclass('tk_analytics_events') ORDER BY relname
""")

Month = datetime
"""Its first moment, in UTC."""


def option_of(url: URL) -> tuple[URL, str | None]:
    """Take ``partitions=`` out of a URL: it is ours, and no driver's.

    Raises:
        ConfigurationError: there are two.
    """
    found = url.query.get("partitions")
    if isinstance(found, tuple):
        raise ConfigurationError("storage: the URL says partitions= twice")
    return url.difference_update_query(["partitions"]), found


def this_month(moment: datetime) -> Month:
    """The month of a moment."""
    return moment.astimezone(timezone.utc).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: Month) -> Month:
    """The one after."""
    return this_month(month + timedelta(days=31))


def bounds(month: Month) -> tuple[str, str]:
    """The first id of a month, and the first of the next one."""
    return first_event_id(month), first_event_id(next_month(month))


def months_of(ids: Iterable[str]) -> set[Month]:
    """The months of ids, as far as such partitions are made."""
    now = datetime.now(timezone.utc)
    last = next_month(this_month(now))
    first = last.replace(year=last.year - YEARS)
    low, high = first_event_id(first), bounds(last)[1]
    return {this_month(time_of(each)) for each in ids if is_id(each) and each[14] == "7" and low <= each < high}


class Partitions:
    """Makes the months of what is written, and drops old ones.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._made: set[Month] = set()
        self._usual = ("", "")  # ids between these have their partition
        self._later = 0.0
        self._drop_later = 0.0

    def prepare(self, events: Sequence[Event]) -> None:
        """Make the months of events that are to be written. What cannot be made now does not keep them from it."""
        ids = [event.id for event in events]
        low, high = self._usual
        if (low <= min(ids) and max(ids) < high) or time.monotonic() < self._later:
            return
        months = months_of(ids)
        now = this_month(datetime.now(timezone.utc))
        ahead = {next_month(now)} if now in months else set()
        try:
            for month in sorted((months | ahead) - self._made):
                with self._connections.writing() as connection:
                    make(connection, month)
                self._made.add(month)
        except (StorageUnavailable, DBAPIError) as error:
            self._later = time.monotonic() + AGAIN
            logger.warning("%s: the partition of %s is not made yet: %s", self._connections.where, _name(month), error)
        else:
            if months:
                self._usual = bounds(max(months))

    def drop(self, before: datetime) -> Erased | None:
        """Drop the oldest month, with everything that belongs to its events, if all of them are older than ``before``.

        Returns:
            What has gone; ``None`` if there is no such month, or somebody is at it: then it is not tried for a while.
        """
        if time.monotonic() < self._drop_later:
            return None
        with self._connections.reading() as connection:
            old = [month for month in months_there(connection) if next_month(month) <= before]
        if not old:
            return None
        try:
            with self._connections.writing() as connection:
                return drop(connection, old[0])
        except StorageUnavailable as error:
            cause = error.__cause__
            if not isinstance(cause, DBAPIError) or not (is_lock_timeout(cause) or is_missing(cause)):
                raise
            self._drop_later = time.monotonic() + AGAIN
            return None


def make(connection: Connection, month: Month) -> bool:
    """Make the partition of a month, of what has come already too, unless it is there.

    Args:
        connection: in a transaction.
        month: which.
    """
    name, (low, high) = _name(month), bounds(month)
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE}'")
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar() is not None:
        return False
    # To attach a table locks nobody out who writes; to create it in its place would.
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE tk_analytics_events INCLUDING ALL)")
    connection.exec_driver_sql(
        f"WITH moved AS (DELETE FROM {OTHER} WHERE id >= '{low}' AND id < '{high}' RETURNING *) "  # noqa: S608
        f"INSERT INTO {name} SELECT * FROM moved"
    )
    connection.exec_driver_sql(
        f"ALTER TABLE tk_analytics_events ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')"
    )
    return True


def drop(connection: Connection, month: Month) -> Erased:
    """Drop the partition of a month.

    Args:
        connection: in a transaction.
        month: which.
    """
    name, (low, high) = _name(month), bounds(month)
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE}'")
    connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE MODE")  # who writes elsewhere goes on
    days = connection.exec_driver_sql(
        f"SELECT org_id, CAST(created_at AT TIME ZONE 'UTC' AS date), count(*) FROM {name} GROUP BY 1, 2"  # noqa: S608
    ).all()
    connection.exec_driver_sql(
        f"DELETE FROM tk_analytics_keys AS held USING {name} AS went WHERE went.idempotency_key IS NOT NULL "  # noqa: S608
        "AND held.org_id = went.org_id AND held.idempotency_key = went.idempotency_key"
    )
    owed = connection.execute(delete(deliveries).where(deliveries.c.event_id >= low, deliveries.c.event_id < high))
    forget(connection, ((org_id, day) for org_id, day, _ in days))
    # From here on nobody writes, reads or sums up; it takes a moment. The counter is not waited for: who waits for it
    # has the table already. What has been summed up meanwhile is forgotten now.
    connection.exec_driver_sql("LOCK TABLE ONLY tk_analytics_events IN ACCESS EXCLUSIVE MODE")
    forget(connection, ((org_id, day) for org_id, day, _ in days))
    connection.exec_driver_sql(f"DROP TABLE {name}")
    return Erased(sum(number for *_, number in days), owed.rowcount)


def months_there(connection: Connection) -> list[Month]:
    """The months that have a partition, ascending."""
    found = map(_NAME.fullmatch, connection.execute(_NAMES).scalars())
    return sorted(datetime(int(each[1]), int(each[2]), 1, tzinfo=timezone.utc) for each in found if each)


def months_waiting(connection: Connection, limit: int) -> dict[Month, int]:
    """The months of events that have not got their partition, and how many there are, of the first ``limit``."""
    ids = connection.exec_driver_sql(f"SELECT CAST(id AS text) FROM {OTHER} ORDER BY id LIMIT {limit}").scalars().all()  # noqa: S608
    return {month: sum(low <= each < high for each in ids) for month in months_of(ids) for low, high in [bounds(month)]}


def _name(month: Month) -> str:
    return f"tk_analytics_events_{month:%Y_%m}"
