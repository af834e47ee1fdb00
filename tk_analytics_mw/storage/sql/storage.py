"""The storage in an SQL database: events in the table ``tk_analytics_events``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from sqlalchemy import Engine

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.examination import Finding
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.sql.connections import COMMIT_TIMEOUT, Connections
from tk_analytics_mw.storage.sql.engines import check_engine, url_of
from tk_analytics_mw.storage.sql.examination import examine
from tk_analytics_mw.storage.sql.joining import Joining
from tk_analytics_mw.storage.sql.migrating import migrate, pending
from tk_analytics_mw.storage.sql.outbox import SqlOutbox
from tk_analytics_mw.storage.sql.writing import write

Durability = Literal["full", "relaxed"]


class SqlStorage:
    """Keeps events in tables ``tk_analytics_…`` of a PostgreSQL, MariaDB or MySQL database.

    ``tk-analytics migrate`` makes the tables. Several hosts may write to them.

    Args:
        database: a URL, ``postgresql://user:password@host/shop``; or an :class:`sqlalchemy.Engine` of the host's: then
            we connect as it does, by connections of our own.
        durability: ``"full"``: what is acknowledged survives a crash of the server. ``"relaxed"``: such a crash may
            take the last fraction of a second (PostgreSQL; of MariaDB and MySQL its own setting says).
        commit_timeout: seconds to wait for a connection, and for other hosts, before :class:`StorageUnavailable`.

    Raises:
        ConfigurationError: it is no database that this storage knows, or its driver is not installed.
    """

    def __init__(
        self, database: str | Engine, *, durability: Durability = "full", commit_timeout: float = COMMIT_TIMEOUT
    ) -> None:
        if durability not in ("full", "relaxed"):
            raise ConfigurationError(f"durability is 'full' or 'relaxed', not {durability!r}")
        source = url_of(database) if isinstance(database, str) else check_engine(database)
        self._connections = Connections(source, durability=durability, commit_timeout=commit_timeout)
        self._joining = Joining(self._connections)
        self.outbox = SqlOutbox(self._connections)

    def write(self, events: Sequence[Event], due: Sequence[Subscription] = ()) -> Sequence[Event] | None:
        """See :meth:`DurableStorage.write <tk_analytics_mw.storage.outbox.DurableStorage.write>`."""
        return write(self._connections, events, due)

    def write_within(
        self,
        transaction: Any,
        events: Sequence[Event],
        due: Sequence[Subscription] = (),
        *,
        then: Callable[[], None],
    ) -> Sequence[Event] | None:
        """See :class:`~tk_analytics_mw.storage.transactions.JoiningStorage`.

        Args:
            transaction: a :class:`~sqlalchemy.orm.Session`, a :class:`~sqlalchemy.orm.scoped_session`, or a
                :class:`~sqlalchemy.Connection` with a transaction open.
            events: as for :meth:`write`.
            due: as for :meth:`write`.
            then: is called after the commit: for a connection, once it goes back to its pool or begins anew.
        """
        return self._joining.write(transaction, events, due, then)

    def pending(self) -> Sequence[str]:
        """See :class:`~tk_analytics_mw.storage.migrations.MigratedStorage`."""
        return pending(self._connections)

    def migrate(self) -> Sequence[str]:
        """See :class:`~tk_analytics_mw.storage.migrations.MigratedStorage`."""
        return migrate(self._connections)

    def examine(self) -> Iterator[Finding]:
        """See :class:`~tk_analytics_mw.storage.examination.ExaminedStorage`."""
        return examine(self._connections)

    def close(self) -> None:
        """See :meth:`Storage.close <tk_analytics_mw.storage.base.Storage.close>`."""
        self._connections.close()
