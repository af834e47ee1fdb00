"""Events into the tables, with their deliveries: as few round trips as the engine allows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.exc import DBAPIError

from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.sql import mysql, postgresql
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.faults import is_lock_timeout


class KeyInUse(Exception):
    """One of these events has the idempotency key of another, in a transaction of the host's that is still open: group
    commit halves the batch."""


def write(
    connections: Connections, events: Sequence[Event], due: Sequence[Subscription] = ()
) -> Sequence[Event] | None:
    """Write events and their deliveries in a transaction of our own.

    Returns:
        As :meth:`Storage.write <tk_analytics_mw.storage.base.Storage.write>`.
    """
    if not events:
        return None
    store = postgresql.store if connections.is_postgresql else mysql.store
    try:
        return store(connections, events, due)
    except StorageUnavailable as error:
        cause = error.__cause__
        keyed = any(event.idempotency_key is not None for event in events)
        if len(events) > 1 and keyed and isinstance(cause, DBAPIError) and is_lock_timeout(cause):
            raise KeyInUse from error
        raise
