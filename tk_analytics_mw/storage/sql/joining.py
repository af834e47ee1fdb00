"""Events in a transaction of the host's: an order and its event, both or neither.

They are put in without a position, which only the counter's lock could give, and get it after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.sql import mysql, postgresql
from tk_analytics_mw.storage.sql.commits import Write, watch
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.faults import translated
from tk_analytics_mw.storage.sql.held import firsts
from tk_analytics_mw.storage.sql.schema import positions

_USING: Final = "record(using=…)"


class Joining:
    """Writes in transactions of the host's.

    Args:
        connections: to the database, of our own.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._engines: WeakSet[Engine] = WeakSet()  # of the host's, that lead to this database

    def write(
        self, transaction: Any, events: Sequence[Event], due: Sequence[Subscription], then: Callable[[], None]
    ) -> Sequence[Event] | None:
        """See :class:`~tk_analytics_mw.storage.transactions.JoiningStorage`."""
        session = transaction() if isinstance(transaction, scoped_session) else transaction
        connection = _connection_of(session)
        store = postgresql.store_within if self._connections.is_postgresql else mysql.store_within
        self._check(connection)
        watched = watch(connection, session if isinstance(session, Session) else None)
        try:
            with connection.begin_nested():  # should this fail, the host's transaction goes on
                new = store(connection, events, due)
                answer = firsts(connection, events, new)
        except (SQLAlchemyError, OSError) as error:
            instead = translated(error, self._connections.where)
            if instead is error:
                raise
            raise instead from error
        watched.add(Write(watched.savepoint, self._connections, new, then))
        return answer

    def _check(self, connection: Connection) -> None:
        """See that this is our database."""
        if connection.engine in self._engines:
            return
        name = func.current_database() if self._connections.is_postgresql else func.database()
        instance = select(positions.c.instance, name)  # a copy has the same instance, under another name
        ours = self._connections.at_once(lambda own: own.execute(instance).first())
        theirs = None
        if (connection.dialect.name == "postgresql") == self._connections.is_postgresql:
            try:
                with connection.begin_nested():
                    theirs = connection.execute(instance).first()
            except SQLAlchemyError as error:
                if connection.invalidated:
                    raise translated(error, self._connections.where) from error
        if ours is None or ours != theirs:
            raise ConfigurationError(
                f"{_USING}: this transaction is one of another database than the storage's, "
                f"{self._connections.where}; or no transaction is open in it"
            )
        self._engines.add(connection.engine)


def _connection_of(transaction: Any) -> Connection:
    if isinstance(transaction, Session):
        try:
            return transaction.connection()
        except SQLAlchemyError as error:
            raise ConfigurationError(f"{_USING}: the session gives no connection: {error}") from error
    if hasattr(transaction, "run_sync"):
        raise ConfigurationError(
            f"{_USING}: of an asynchronous session or connection write "
            "await session.run_sync(lambda sync: analytics.record(…, using=sync))"
        )
    if not isinstance(transaction, Connection):
        raise ConfigurationError(
            f"{_USING}: a {type(transaction).__name__} is no session and no connection of SQLAlchemy"
        )
    if not transaction.in_transaction():
        raise ConfigurationError(f"{_USING}: no transaction is open: with engine.begin() as connection: …")
    return transaction
