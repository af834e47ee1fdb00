"""Making the table of events one with partitions, as long as it is empty: see :mod:`.partitions`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Final

from sqlalchemy import Connection, text

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.storage.examination import Finding
from tk_analytics_mw.storage.sql.connections import Connections, is_partitioned
from tk_analytics_mw.storage.sql.partitions import (
    OTHER,
    make,
    months_there,
    months_waiting,
    next_month,
    this_month,
)

STEP: Final = "partitions by month"
"""What ``migrate`` calls it."""

SOME: Final = 10_000
"""Events without a month that are looked at together."""

_DEFINED: Final = text("""
    SELECT pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = to_regclass('tk_analytics_events') AND NOT indisprimary
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger
    WHERE tgrelid = to_regclass('tk_analytics_events') AND NOT tgisinternal
""")
# One statement behind each blank line. A key is not noted for an event that is held: of that nothing is stored.
_SCRIPT: Final = f"""
    CREATE TABLE tk_analytics_events_new (
        LIKE tk_analytics_events INCLUDING ALL EXCLUDING INDEXES,
        CONSTRAINT tk_analytics_events_by_id PRIMARY KEY (id)
    ) PARTITION BY RANGE (id)

    DROP TABLE tk_analytics_events

    ALTER TABLE tk_analytics_events_new RENAME TO tk_analytics_events

    CREATE TABLE {OTHER} PARTITION OF tk_analytics_events DEFAULT

    CREATE TABLE tk_analytics_keys (
        org_id VARCHAR NOT NULL,
        idempotency_key VARCHAR NOT NULL,
        PRIMARY KEY (org_id, idempotency_key)
    )

    CREATE FUNCTION tk_analytics_insert_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO tk_analytics_keys SELECT NEW.org_id, NEW.idempotency_key
        WHERE NOT EXISTS (SELECT FROM tk_analytics_events WHERE id = NEW.id)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN RETURN NEW; END IF;
        RETURN NULL;
    END $$

    CREATE TRIGGER tk_analytics_insert_key BEFORE INSERT ON tk_analytics_events
        FOR EACH ROW WHEN (NEW.idempotency_key IS NOT NULL) EXECUTE FUNCTION tk_analytics_insert_key()

    CREATE FUNCTION tk_analytics_delete_keys() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM tk_analytics_keys AS held USING went WHERE went.idempotency_key IS NOT NULL
            AND held.org_id = went.org_id AND held.idempotency_key = went.idempotency_key;
        RETURN NULL;
    END $$

    CREATE TRIGGER tk_analytics_delete_keys AFTER DELETE ON tk_analytics_events
        REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION tk_analytics_delete_keys()
"""  # noqa: S608 - a name of ours


def partition(connections: Connections) -> list[str]:
    """Make the table one with partitions, and those of now, of the next month, and of events that wait for theirs.

    Returns:
        What was done.

    Raises:
        ConfigurationError: there are events in a table without partitions.
    """
    done = []
    with connections.unchecked() as connection:
        connection.execution_options(isolation_level=connection.default_isolation_level)
        if not is_partitioned(connection):
            _begin(connection, connections.where)
            done.append(STEP)
        now = this_month(datetime.now(timezone.utc))
        for month in sorted({now, next_month(now), *months_waiting(connection, SOME)}):
            if make(connection, month):
                done.append(f"the partition of {month:%Y-%m}")
        connection.commit()
    return done


def examine_partitions(connection: Connection, *, wanted: bool) -> Iterator[Finding]:
    """See :meth:`ExaminedStorage.examine <tk_analytics_mw.storage.examination.ExaminedStorage.examine>`.

    Args:
        connection: to a database with our tables.
        wanted: whether the URL says ``partitions=monthly``.
    """
    if not is_partitioned(connection):
        return
    if not wanted:
        yield Finding(
            "warning",
            "events are in partitions by month, and the URL does not say so: no further months are made",
            "Add ?partitions=monthly to it.",
        )
    months = months_there(connection)
    if months:
        yield Finding("ok", f"{len(months)} partitions, from {months[0]:%Y-%m} to {months[-1]:%Y-%m}")
    waiting = months_waiting(connection, SOME)
    if waiting:
        yield Finding(
            "warning",
            f"{sum(waiting.values()):,} events wait for the partition of their month",
            "Run tk-analytics migrate when few write: it moves them.",
        )


def _begin(connection: Connection, where: str) -> None:
    connection.exec_driver_sql("LOCK TABLE tk_analytics_events IN ACCESS EXCLUSIVE MODE")
    if connection.exec_driver_sql("SELECT 1 FROM tk_analytics_events LIMIT 1").first() is not None:
        raise ConfigurationError(
            f"{where} holds events in a table without partitions: make another database, and "
            "tk-analytics copy --from URL --to URL?partitions=monthly; or leave partitions= out of the URL"
        )
    defined = connection.execute(_DEFINED).scalars().all()
    for statement in (*_SCRIPT.split("\n\n"), *defined):
        # The counter and the table of keys see to what an index of each partition cannot.
        connection.exec_driver_sql(statement.replace("CREATE UNIQUE INDEX", "CREATE INDEX", 1))
