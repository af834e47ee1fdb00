"""The tables of the SQLite storage, as migrations. A published migration is never edited: add another."""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database, Migrations

_set = Migrations("tk_analytics_mw")


@_set()
def create_events(db: Database) -> None:
    text = str
    db.create_table(
        "events",
        {
            "id": text,
            "created_at": text,
            "event_type": text,
            "spelling": text,
            "org_id": text,
            "session_id": text,
            "event_metadata": text,
            "asset_id": text,
            "user_id": text,
            "config_id": text,
            "configuration": text,
            "device": text,
            "device_type": text,
            "device_family": text,
            "system": text,
            "browser": text,
            "user_agent": text,
            "metric": float,
            "request_url": text,
            "request_origin": text,
            "referer": text,
            "idempotency_key": text,
        },
        pk="id",
        not_null={"created_at", "event_type", "spelling", "org_id", "session_id", "metric", "referer"},
    )
    # Only rows with a key are in it: who sends none pays nothing.
    db.execute(
        "CREATE UNIQUE INDEX events_idempotency ON events (org_id, idempotency_key) WHERE idempotency_key IS NOT NULL"
    )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date, within the transaction that is open on ``connection``."""
    # No plugins: whatever else is installed beside the host application has no business in its database.
    _set.apply(Database(connection, execute_plugins=False))
