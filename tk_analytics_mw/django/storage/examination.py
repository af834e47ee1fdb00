"""Looking over the database."""

from __future__ import annotations

from collections.abc import Iterator

from tk_analytics_mw.django.storage import migrating
from tk_analytics_mw.django.storage.connections import Connections
from tk_analytics_mw.django.storage.engines import engine_of
from tk_analytics_mw.storage.examination import Finding


def examine(connections: Connections) -> Iterator[Finding]:
    """See :class:`~tk_analytics_mw.storage.examination.ExaminedStorage`."""
    with connections.outside() as connection:
        version = ".".join(map(str, connection.get_database_version()))
        yield Finding("ok", f"Django's database {connections.alias!r}: {connection.display_name} {version}")
        if migrating.pending(connection):
            yield Finding("error", "tables are missing or old", migrating.advice(connections.alias))
        yield from engine_of(connection).examine(connection)
