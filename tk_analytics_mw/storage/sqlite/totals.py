"""What is kept counted: events by hour, and summaries of days.

``hour_totals`` is kept by triggers, in the transaction of whoever stores or removes events: it cannot be wrong after
a retry, an erasure or a purge. A row says how many events of a type an organisation has in an hour of UTC; the type
``''`` stands for all of them.

``day_totals`` has what a day's events have in common by session, asset, type and device, so that distinct sessions and
users can be told exactly without a look at each event. A day is summed up when somebody first asks for it, never by
whoever stores events; ``summed_days`` says which days are. The same triggers forget a day as soon as one of its events
comes or goes, so a summary is right or it is not there. While a day is being summed up, ``token`` says by whom: if the
row is gone or another's at the end, the day has changed meanwhile, and what was found is thrown away.
"""

from __future__ import annotations

import sqlite3
from typing import Final

ALL_TYPES: Final = ""
"""Stands for every event type in ``hour_totals``."""

PARTS: Final = ("event_type", "session_id", "user_id", "asset_id", "device_type", "browser", "system")
"""What a row of ``day_totals`` has in common."""

_COUNT: Final = """
    INSERT INTO hour_totals (org_id, event_type, hour, events)
    VALUES ({row}.org_id, {row}.event_type, substr({row}.created_at, 1, 13), 1),
        ({row}.org_id, '', substr({row}.created_at, 1, 13), 1)
    ON CONFLICT (org_id, event_type, hour) DO UPDATE SET events = events + 1;
"""
_DISCOUNT: Final = """
    UPDATE hour_totals SET events = events - 1
    WHERE org_id = {row}.org_id AND event_type IN ({row}.event_type, '') AND hour = substr({row}.created_at, 1, 13);
    DELETE FROM hour_totals
    WHERE org_id = {row}.org_id AND event_type IN ({row}.event_type, '') AND hour = substr({row}.created_at, 1, 13)
        AND events = 0;
"""
_FORGET: Final = """
    DELETE FROM summed_days WHERE org_id = {row}.org_id AND day = substr({row}.created_at, 1, 10);
"""


def create(connection: sqlite3.Connection) -> None:
    """Create the tables and triggers, and count what is there already."""
    connection.execute(
        """CREATE TABLE hour_totals (
            org_id TEXT NOT NULL,
            event_type TEXT NOT NULL,
            hour TEXT NOT NULL,
            events INTEGER NOT NULL,
            PRIMARY KEY (org_id, event_type, hour)
        ) WITHOUT ROWID"""
    )
    connection.execute(
        """CREATE TABLE summed_days (
            org_id TEXT NOT NULL,
            day TEXT NOT NULL,
            token TEXT,
            PRIMARY KEY (org_id, day)
        ) WITHOUT ROWID"""
    )
    connection.execute(
        f"""CREATE TABLE day_totals (
            org_id TEXT NOT NULL,
            day TEXT NOT NULL,
            {" TEXT, ".join(PARTS)} TEXT,
            events INTEGER NOT NULL,
            metric REAL NOT NULL
        )"""
    )
    connection.execute("CREATE INDEX day_totals_day ON day_totals (org_id, day)")
    stored, removed = _COUNT.format(row="new"), _DISCOUNT.format(row="old")
    connection.execute(
        f"CREATE TRIGGER count_stored AFTER INSERT ON events BEGIN {stored} {_FORGET.format(row='new')} END"
    )
    connection.execute(
        f"CREATE TRIGGER count_removed AFTER DELETE ON events BEGIN {removed} {_FORGET.format(row='old')} END"
    )
    connection.execute(
        f"CREATE TRIGGER count_changed AFTER UPDATE OF org_id, created_at, metric, {', '.join(PARTS)} ON events "
        f"BEGIN {removed} {stored} {_FORGET.format(row='old')} {_FORGET.format(row='new')} END"
    )
    connection.execute(
        """CREATE TRIGGER forget_day AFTER DELETE ON summed_days BEGIN
            DELETE FROM day_totals WHERE org_id = old.org_id AND day = old.day;
        END"""
    )
    count_hours(connection)


def count_hours(connection: sqlite3.Connection) -> None:
    """Count every event again, within the transaction of ``connection``."""
    connection.execute("DELETE FROM hour_totals")
    connection.execute(
        "INSERT INTO hour_totals (org_id, event_type, hour, events) "
        "SELECT org_id, event_type, substr(created_at, 1, 13), count(*) FROM events GROUP BY 1, 2, 3"
    )
    connection.execute(
        "INSERT INTO hour_totals (org_id, event_type, hour, events) "
        "SELECT org_id, '', hour, sum(events) FROM hour_totals GROUP BY 1, 3"
    )
