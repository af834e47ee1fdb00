"""The tables of the SQLite storage, as migrations. A published migration is never edited: add another."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tk_analytics_mw.storage.sqlite import segments, totals

if TYPE_CHECKING:
    from sqlite_utils import Database

SET: Final = "tk_analytics_mw"
"""Name of our migrations, among those that a file may know."""

_MIGRATIONS: Final[list[Callable[[Database], None]]] = []


@_MIGRATIONS.append
def create_events(db: Database) -> None:
    # The position is the order of commits, which that of ids is not. AUTOINCREMENT: that of an event which was
    # erased is given to no other, so who reads on from a position misses none.
    db.execute(
        """CREATE TABLE events (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL,
            created_at TEXT NOT NULL,
            event_type TEXT NOT NULL,
            spelling TEXT NOT NULL,
            org_id TEXT NOT NULL,
            session_id TEXT NOT NULL,
            event_metadata TEXT,
            asset_id TEXT,
            user_id TEXT,
            config_id TEXT,
            configuration TEXT,
            device TEXT,
            device_type TEXT,
            device_family TEXT,
            system TEXT,
            browser TEXT,
            user_agent TEXT,
            metric REAL NOT NULL,
            request_url TEXT,
            request_origin TEXT,
            referer TEXT NOT NULL,
            idempotency_key TEXT
        )"""
    )
    db.execute("CREATE UNIQUE INDEX events_id ON events (id)")
    # Only rows with a key are in it: who sends none pays nothing.
    db.execute(
        "CREATE UNIQUE INDEX events_idempotency ON events (org_id, idempotency_key) WHERE idempotency_key IS NOT NULL"
    )


@_MIGRATIONS.append
def create_deliveries(db: Database) -> None:
    # One of an event to a name. Its order is the event's own, so one that subscribes to the past gets it in order.
    db.execute(
        """CREATE TABLE deliveries (
            name TEXT NOT NULL,
            position INTEGER NOT NULL,
            event_id TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'pending',
            attempts INTEGER NOT NULL DEFAULT 0,
            due_at REAL,
            first_tried_at REAL,
            settled_at REAL,
            owner TEXT,
            error TEXT,
            PRIMARY KEY (name, position)
        ) WITHOUT ROWID"""
    )
    # Each holds only what it is asked for, so that a long history of delivered ones costs nothing. Their conditions
    # are of the two kinds that SQLite recognises in a query: the same words, and IS NOT NULL.
    db.execute("CREATE INDEX deliveries_pending ON deliveries (name, position) WHERE state = 'pending'")
    db.execute("CREATE INDEX deliveries_later ON deliveries (name, state, due_at) WHERE due_at IS NOT NULL")
    db.execute("CREATE INDEX deliveries_dead ON deliveries (name, position) WHERE state = 'dead'")
    db.execute("CREATE INDEX deliveries_settled ON deliveries (settled_at) WHERE settled_at IS NOT NULL")
    db.execute(
        """CREATE TABLE subscriptions (
            name TEXT PRIMARY KEY,
            enrolled_at REAL NOT NULL,
            backfill_after INTEGER,
            backfill_until INTEGER,
            delivered INTEGER NOT NULL DEFAULT 0,
            discarded INTEGER NOT NULL DEFAULT 0,
            off TEXT
        )"""
    )


@_MIGRATIONS.append
def index_events_for_reads(db: Database) -> None:
    # By time: what is stored now goes to the end of its organisation.
    db.execute("CREATE INDEX events_time ON events (org_id, created_at)")
    segments.create(db.conn)


@_MIGRATIONS.append
def keep_totals(db: Database) -> None:
    totals.create(db.conn)


@_MIGRATIONS.append
def create_tokens(db: Database) -> None:
    # Times are seconds since 1970, the day of the last use is ISO 8601. No token is in it, only its SHA-256.
    db.execute(
        """CREATE TABLE tokens (
            id TEXT PRIMARY KEY,
            digest BLOB NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            org_id TEXT NOT NULL,
            domains TEXT NOT NULL,
            label TEXT NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL,
            revoked_at REAL,
            last_used TEXT,
            rotated_from TEXT
        )"""
    )


@_MIGRATIONS.append
def create_refusals(db: Database) -> None:
    db.execute(
        """CREATE TABLE refusals (
            day TEXT NOT NULL,
            org_id TEXT NOT NULL,
            token TEXT NOT NULL,
            reason TEXT NOT NULL,
            origin TEXT NOT NULL,
            number INTEGER NOT NULL,
            PRIMARY KEY (day, org_id, token, reason, origin)
        ) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE refusal_samples (
            id INTEGER PRIMARY KEY,
            org_id TEXT NOT NULL,
            refused_at REAL NOT NULL,
            token TEXT NOT NULL,
            reason TEXT NOT NULL,
            origin TEXT NOT NULL,
            path TEXT NOT NULL
        )"""
    )
    db.execute("CREATE INDEX refusal_samples_org ON refusal_samples (org_id)")


@_MIGRATIONS.append
def cut_segments_smaller(db: Database) -> None:
    segments.cut_smaller(db.conn)


@_MIGRATIONS.append
def order_segments_by_time(db: Database) -> None:
    segments.order_by_time(db.conn)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date, within the transaction that is open on ``connection``."""
    if {step.__name__ for step in _MIGRATIONS} <= _applied(connection):
        return  # nearly always; what follows takes as long to import as all the rest, twice as long with numpy there
    from sqlite_utils import Database, Migrations

    migrations = Migrations(SET)
    for step in _MIGRATIONS:
        migrations()(step)
    # No plugins: whatever else is installed beside the host application has no business in its database.
    migrations.apply(Database(connection, execute_plugins=False))


def _applied(connection: sqlite3.Connection) -> set[str]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
        return set()
    return {
        name for (name,) in connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (SET,))
    }
