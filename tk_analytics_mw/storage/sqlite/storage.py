"""The SQLite storage: events in the table ``events``."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.backup import Report
from tk_analytics_mw.storage.examination import Finding
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.rows import COLUMNS, event_of, row_of
from tk_analytics_mw.storage.sqlite.backup import backup
from tk_analytics_mw.storage.sqlite.connections import BUSY_TIMEOUT, Connections
from tk_analytics_mw.storage.sqlite.erasure import SqliteErasure
from tk_analytics_mw.storage.sqlite.examination import examine
from tk_analytics_mw.storage.sqlite.figures import SqliteFigures
from tk_analytics_mw.storage.sqlite.outbox import SqliteOutbox
from tk_analytics_mw.storage.sqlite.reads import SqliteReader
from tk_analytics_mw.storage.sqlite.refusals import SqliteRefusals
from tk_analytics_mw.storage.sqlite.survey import organisations, survey
from tk_analytics_mw.storage.sqlite.tokens import SqliteTokens
from tk_analytics_mw.storage.survey import Survey

Durability = Literal["full", "relaxed"]

_NAMES: Final = ", ".join(COLUMNS)
_ROW: Final = f"({', '.join('?' * len(COLUMNS))})"

# Rows of one statement. One of 32 rows takes two thirds of the time of 32 statements, and gives up the interpreter's
# lock once instead of 32 times: event loop and other threads compete for it. SQLite before 3.32 allows 999 values.
_MOST_ROWS: Final = min(64, 999 // len(COLUMNS)) if sqlite3.sqlite_version_info < (3, 32) else 64
_SELECT_BY_KEY: Final = f"SELECT {_NAMES} FROM events WHERE org_id = ? AND idempotency_key = ?"  # noqa: S608


class SqliteStorage:
    """Keeps events in the table ``events`` of an SQLite file, created on first use with mode 0600.

    Args:
        path: of the file. A relative one counts from the working directory of now.
        durability: ``"full"``: what is acknowledged survives a crash and a power cut. ``"relaxed"``: it
            survives a crash of the process; a power cut may take the last seconds.
        busy_timeout: seconds to wait for other processes before :class:`StorageUnavailable`.

    Raises:
        ConfigurationError: there is no directory for the file.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, durability: Durability = "full", busy_timeout: float = BUSY_TIMEOUT
    ) -> None:
        if durability not in ("full", "relaxed"):
            raise ConfigurationError(f"durability is 'full' or 'relaxed', not {durability!r}")
        self._connections = Connections(
            path, synchronous="FULL" if durability == "full" else "NORMAL", busy_timeout=busy_timeout
        )
        self.path = self._connections.path
        self.outbox = SqliteOutbox(self._connections)
        self.erasure = SqliteErasure(self._connections)
        self.tokens = SqliteTokens(self._connections)
        self.refusals = SqliteRefusals(self._connections)
        self.reader = SqliteReader(self._connections)
        self.figures = SqliteFigures(self._connections)

    def write(self, events: Sequence[Event], due: Sequence[Subscription] = ()) -> Sequence[Event] | None:
        """See :meth:`Storage.write <tk_analytics_mw.storage.base.Storage.write>`.

        Args:
            events: to be made durable.
            due: the durable subscriptions. A delivery of each event to each that wants it is made durable with it.
        """
        statements = [*_inserts(events)]
        keyed = [number for number, event in enumerate(events) if event.idempotency_key is not None]
        if len(statements) == 1 and not due and not keyed:  # nearly always
            self._connections.execute(*statements[0])
            return None
        with self._connections.transaction() as connection:
            last = self.outbox.last_position(connection) if due else 0
            for statement, values in statements:
                connection.execute(statement, values)
            if due:
                self.outbox.add(connection, due, after=last)
            first = {number: _first(connection, events[number]) for number in keyed}
        return [first.get(number, event) for number, event in enumerate(events)] if keyed else None

    def backup(self, path: Path, report: Report) -> None:
        """See :meth:`BackedUpStorage.backup <tk_analytics_mw.storage.backup.BackedUpStorage.backup>`."""
        backup(self._connections, path, report)

    def organisations(self) -> list[str]:
        """See :class:`~tk_analytics_mw.storage.survey.SurveyedStorage`."""
        return organisations(self._connections)

    def survey(self) -> Survey:
        """See :class:`~tk_analytics_mw.storage.survey.SurveyedStorage`."""
        return survey(self._connections)

    def examine(self) -> Iterator[Finding]:
        """See :class:`~tk_analytics_mw.storage.examination.ExaminedStorage`."""
        return examine(self._connections)

    def close(self) -> None:
        """See :meth:`Storage.close <tk_analytics_mw.storage.base.Storage.close>`."""
        self._connections.close()


def _inserts(events: Sequence[Event]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The statements that insert events, and their values: one for each :data:`_MOST_ROWS`."""
    for start in range(0, len(events), _MOST_ROWS):
        some = events[start : start + _MOST_ROWS]
        yield _insert_of(len(some)), tuple(chain.from_iterable(map(row_of, some)))


@cache  # as does the connection, with the statements that it has prepared
def _insert_of(rows: int) -> str:
    return f"INSERT INTO events ({_NAMES}) VALUES {', '.join([_ROW] * rows)} ON CONFLICT DO NOTHING"  # noqa: S608


def _first(connection: sqlite3.Connection, event: Event) -> Event:
    row = connection.execute(_SELECT_BY_KEY, (event.org_id, event.idempotency_key)).fetchone()
    return event if row is None or row[0] == event.id else event_of(row)
