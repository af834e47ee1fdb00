"""Erasing events from an SQL database: their rows, their deliveries, and what was counted of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, select, text

from tk_analytics_mw.identifiers import first_event_id
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.erasure import SLICE, Erased, Progress, Subject
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.filters import Values, shape_of, values_of
from tk_analytics_mw.storage.sql.partitions import Partitions
from tk_analytics_mw.storage.sql.places import place
from tk_analytics_mw.storage.sql.schema import deliveries, events
from tk_analytics_mw.storage.sql.spans import organisations
from tk_analytics_mw.storage.sql.totals import day_of, forget, lock_counter
from tk_analytics_mw.storage.sql.walks import Step, by_index, source_of

_VACUUMED: Final = ("tk_analytics_events", "tk_analytics_deliveries")


class SqlErasure:
    """See :class:`~tk_analytics_mw.storage.erasure.Erasure`."""

    def __init__(self, connections: Connections, partitions: Partitions | None) -> None:
        self._connections = connections
        self._partitions = partitions

    def organisations(self, subject: Subject) -> list[str]:
        """See :meth:`Erasure.organisations <tk_analytics_mw.storage.erasure.Erasure.organisations>`."""
        place(self._connections)
        with self._connections.reading() as connection:
            return [
                org_id
                for org_id in _asked(connection, subject)
                if any(
                    connection.execute(statement.limit(1), values).first()
                    for statement, values in _ids(connection, subject, org_id)
                )
            ]

    def erase(self, subject: Subject) -> Iterator[Progress]:
        """See :meth:`Erasure.erase <tk_analytics_mw.storage.erasure.Erasure.erase>`."""
        place(self._connections)
        with self._connections.reading() as connection:
            ids = [
                id_
                for org_id in _asked(connection, subject)
                for statement, values in _ids(connection, subject, org_id)
                for id_ in connection.execute(statement, values).scalars()
            ]
        for first in range(0, len(ids), SLICE):
            some = ids[first : first + SLICE]
            with self._connections.writing() as connection:
                lock_counter(connection)
                erased = _delete(connection, some)
            yield Progress(erased, first + len(some), len(ids))

    def count(self, before: datetime) -> int:
        """See :meth:`Erasure.count <tk_analytics_mw.storage.erasure.Erasure.count>`."""
        with self._connections.reading() as connection:
            number: int = connection.execute(
                select(func.count()).select_from(events).where(events.c.id < first_event_id(before))
            ).scalar_one()
        return number

    def purge(self, before: datetime, limit: int = SLICE) -> Erased:
        """See :meth:`Erasure.purge <tk_analytics_mw.storage.erasure.Erasure.purge>`.

        The order of ids is that of time; that of positions is not: imported events are old and come late.
        """
        while self._partitions is not None and (dropped := self._partitions.drop(before)) is not None:
            if dropped.events:
                return dropped
        oldest = select(events.c.id).where(events.c.id < first_event_id(before)).order_by(events.c.id).limit(limit)
        with self._connections.reading() as connection:  # nearly always none: nobody is to wait for that
            if not connection.execute(oldest.limit(1)).first():
                return Erased()
        with self._connections.writing() as connection:
            lock_counter(connection)
            return _delete(connection, connection.execute(oldest).scalars().all())

    def finish(self) -> bool:
        """See :meth:`Erasure.finish <tk_analytics_mw.storage.erasure.Erasure.finish>`.

        PostgreSQL keeps what was deleted as long as somebody may see it, and then until it is vacuumed, which is done
        here. Its write-ahead log, replicas and backups forget in their own time. MariaDB and MySQL clean up by
        themselves; their binary logs are kept as long as they have been told to.
        """
        if not self._connections.is_postgresql:
            return True
        with self._connections.unchecked() as connection:
            vacuum = connection.execution_options(isolation_level="AUTOCOMMIT")
            deleted_by = vacuum.execute(_NEWEST).scalar_one()
            for table in (*_VACUUMED, *(["tk_analytics_keys"] if self._partitions else [])):
                vacuum.exec_driver_sql(f"VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) {table}")
            return vacuum.execute(_READERS, {"newest": deleted_by}).first() is None


# Whoever has a snapshot from before it may still see what was deleted: then the vacuum has left it.
_NEWEST: Final = text("SELECT CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text)")
_READERS: Final = text("""
    SELECT 1 FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND datname = current_database()
        AND age(backend_xmin) > age(CAST(CAST(CAST(:newest AS numeric) % 4294967296 AS bigint) AS text)::xid)
    LIMIT 1
""")


def _asked(connection: Connection, subject: Subject) -> list[str]:
    return [*organisations(connection)] if subject.org_id is None else [subject.org_id]


def _ids(connection: Connection, subject: Subject, org_id: str) -> Iterator[tuple[Select[Any], Values]]:
    """Statements, each with its values, that together find the events of a subject."""
    given = {"user_id": subject.user_id, "session_id": subject.session_id}
    wanted = Filter(org_id, equals={name: value for name, value in given.items() if value is not None})
    shape = shape_of(connection, wanted)
    for step, values in by_index(connection, wanted, "oldest") if shape.postgresql else [(Step("time"), Values())]:
        source, where = source_of(shape, step, "oldest")
        yield select(source.c.id).where(*where), {**values_of(wanted), **values}


def _delete(connection: Connection, ids: Sequence[str]) -> Erased:
    """Delete events and everything that belongs to them, within the transaction."""
    if not ids:
        return Erased()
    if connection.dialect.name != "postgresql":
        days = connection.execute(select(events.c.org_id, events.c.created_at).where(events.c.id.in_(ids)))
        forget(connection, ((org_id, day_of(created_at)) for org_id, created_at in days))
    owed = connection.execute(delete(deliveries).where(deliveries.c.event_id.in_(ids))).rowcount
    return Erased(connection.execute(delete(events).where(events.c.id.in_(ids))).rowcount, owed)
