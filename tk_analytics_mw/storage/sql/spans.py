"""When an organisation's events begin and end, and which organisations there are: through the index by time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, func, select

from tk_analytics_mw.storage.sql.schema import events


def span(connection: Connection, org_id: str) -> tuple[datetime, datetime] | None:
    """The moments of the first event and of the last one; ``None`` without any."""
    ends = []
    for order in (events.c.created_at.asc(), events.c.created_at.desc()):
        found = connection.execute(
            select(events.c.created_at)
            .where(events.c.org_id == org_id, events.c.position.is_not(None))
            .order_by(order)
            .limit(1)
        ).scalar()
        if found is None:
            return None
        ends.append(found)
    return ends[0], ends[1]


def organisations(connection: Connection) -> Iterator[str]:
    """Those that have events: from one to the next through the index, not through the events."""
    found: str | None = ""
    while True:
        found = connection.execute(select(func.min(events.c.org_id)).where(events.c.org_id > found)).scalar()
        if found is None:
            return
        yield found
