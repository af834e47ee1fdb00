"""The storage in an SQL database: events in the table ``tk_analytics_events``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from sqlalchemy import URL, Engine

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.examination import Finding
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.sql.connections import COMMIT_TIMEOUT, Connections
from tk_analytics_mw.storage.sql.engines import check_engine, url_of
from tk_analytics_mw.storage.sql.erasure import SqlErasure
from tk_analytics_mw.storage.sql.examination import examine
from tk_analytics_mw.storage.sql.figures import SqlFigures
from tk_analytics_mw.storage.sql.joining import Joining
from tk_analytics_mw.storage.sql.migrating import migrate, pending
from tk_analytics_mw.storage.sql.outbox import SqlOutbox
from tk_analytics_mw.storage.sql.partitions import Partitions, option_of
from tk_analytics_mw.storage.sql.reads import SqlReader
from tk_analytics_mw.storage.sql.refusals import SqlRefusals
from tk_analytics_mw.storage.sql.survey import organisations, survey
from tk_analytics_mw.storage.sql.tokens import SqlTokens
from tk_analytics_mw.storage.sql.writing import write
from tk_analytics_mw.storage.survey import Survey

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
        partitions: ``"monthly"``: PostgreSQL keeps each month's events in a partition, and old ones go as a whole. With
            a URL, write ``?partitions=monthly`` behind it. The table has to be empty when ``migrate`` is run with it.

    Raises:
        ConfigurationError: it is no database that this storage knows, or its driver is not installed.
    """

    def __init__(
        self,
        database: str | Engine,
        *,
        durability: Durability = "full",
        commit_timeout: float = COMMIT_TIMEOUT,
        partitions: Literal["monthly"] | None = None,
    ) -> None:
        if durability not in ("full", "relaxed"):
            raise ConfigurationError(f"durability is 'full' or 'relaxed', not {durability!r}")
        source = url_of(database) if isinstance(database, str) else check_engine(database)
        asked: str | None = partitions
        if isinstance(source, URL):
            source, in_url = option_of(source)
            asked = in_url or partitions
        if asked not in (None, "monthly"):
            raise ConfigurationError(f"storage: partitions are 'monthly', not {asked!r}")
        self._connections = Connections(
            source, durability=durability, commit_timeout=commit_timeout, partitioned=asked is not None
        )
        if asked is not None and not self._connections.is_postgresql:
            raise ConfigurationError("storage: PostgreSQL alone has partitions here: leave them out")
        self._partitions = None if asked is None else Partitions(self._connections)
        self._joining = Joining(self._connections)
        self.outbox = SqlOutbox(self._connections)
        self.reader = SqlReader(self._connections)
        self.figures = SqlFigures(self._connections)
        self.erasure = SqlErasure(self._connections, self._partitions)
        self.tokens = SqlTokens(self._connections)
        self.refusals = SqlRefusals(self._connections)

    def write(self, events: Sequence[Event], due: Sequence[Subscription] = ()) -> Sequence[Event] | None:
        """See :meth:`DurableStorage.write <tk_analytics_mw.storage.outbox.DurableStorage.write>`."""
        if self._partitions is not None and events:
            self._partitions.prepare(events)
        return write(self._connections, events, due)

    def organisations(self) -> list[str]:
        """See :class:`~tk_analytics_mw.storage.survey.SurveyedStorage`."""
        return organisations(self._connections)

    def survey(self) -> Survey:
        """See :class:`~tk_analytics_mw.storage.survey.SurveyedStorage`."""
        return survey(self._connections)

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
