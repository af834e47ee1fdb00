"""What a storage must do beside ``write`` to write within a transaction that host code has open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.base import Storage
from tk_analytics_mw.storage.outbox import Subscription


@runtime_checkable
class JoiningStorage(Storage, Protocol):
    """A storage that can join a transaction of the host's: an order and its event, both or neither."""

    def write_within(
        self,
        transaction: Any,
        events: Sequence[Event],
        due: Sequence[Subscription] = (),
        *,
        then: Callable[[], None],
    ) -> Sequence[Event] | None:
        """Write events, and their deliveries, in the host's transaction: they come and go with it.

        It holds up nobody who writes in a transaction of their own, however long the host's stays open. A failure
        leaves the host's transaction usable, or rolled back to where it was before the call.

        Args:
            transaction: of the host, as it calls it: the alias of a Django database, a session or a connection of
                SQLAlchemy.
            events: as for :meth:`Storage.write`.
            due: the durable subscriptions.
            then: is called once, in the thread that commits, when the outermost transaction has been committed;
                never if it, or the savepoint of this write, is rolled back.

        Returns:
            As :meth:`Storage.write`.

        Raises:
            ConfigurationError: this is no transaction, none is open, or it is one of another database.
            StorageUnavailable: it cannot be written now.
        """
        ...
