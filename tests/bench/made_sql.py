"""Made data in PostgreSQL: the rows of :mod:`tests.bench.made`, by COPY.

    python -m tests.bench.made_sql URL [--events N]

URL is of a database that holds no events of ours; the tables are made. As with the file of SQLite, indexes and triggers
are made again afterwards, and the same arguments make the same rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, create_engine, text

from tests.bench.made import EVENTS, SESSIONS, made_rows
from tk_analytics_mw.storage.rows import COLUMNS
from tk_analytics_mw.storage.sql import SqlStorage
from tk_analytics_mw.storage.sql.engines import url_of

_INDEXES = text(
    "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'tk_analytics_events' AND indexname NOT LIKE '%_pkey'"
)


def fill(url: str, *, events: int = EVENTS, sessions: int = SESSIONS, seed: int = 1) -> None:
    """Make the tables and fill them.

    Args:
        url: of the database.
        events: how many.
        sessions: of how many sessions.
        seed: other rows for another number.
    """
    storage = SqlStorage(url)
    storage.migrate()
    storage.close()
    engine = create_engine(url_of(url))
    with engine.begin() as connection:
        indexes = connection.execute(_INDEXES).all()
        for name, _ in indexes:
            connection.exec_driver_sql(f"DROP INDEX {name}")
        connection.exec_driver_sql("ALTER TABLE tk_analytics_events DISABLE TRIGGER USER")
        _copy(connection, events, sessions, seed)
        connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '1GB'")
        for _, definition in indexes:
            connection.exec_driver_sql(definition.replace("%", "%%"))
        connection.exec_driver_sql("ALTER TABLE tk_analytics_events ENABLE TRIGGER USER")
        connection.execute(text("UPDATE tk_analytics_positions SET last = :last"), {"last": events})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE) tk_analytics_events")
    engine.dispose()
    storage.figures.rebuild()
    storage.close()


def _copy(connection: Connection, events: int, sessions: int, seed: int) -> None:
    driver: Any = connection.connection.driver_connection
    position = 0
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY tk_analytics_events (position, {', '.join(COLUMNS)}) FROM STDIN") as copy,
    ):
        for rows in made_rows(events, sessions, seed):
            copy.write("".join(_line(position + number, row) for number, row in enumerate(rows, start=1)))
            position += len(rows)


def _line(position: int, row: Sequence[Any]) -> str:
    # No value of the made data has a tab or a backslash in it.
    return f"{position}\t" + "\t".join("\\N" if value is None else str(value) for value in row) + "\n"


def main() -> None:
    """Read the command line and fill the database."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.made_sql", description="Fill a database.")
    parser.add_argument("url")
    parser.add_argument("--events", type=int, default=EVENTS)
    options = parser.parse_args()
    started = time.perf_counter()
    fill(options.url, events=options.events, sessions=max(1, options.events * SESSIONS // EVENTS))
    print(f"{options.events:,} events in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
