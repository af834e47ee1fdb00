"""When an organisation's events begin and end, and which organisations there are: through the index by time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from tk_analytics_mw.storage.sql.schema import events

_THEIRS: Final = (
    select(events.c.created_at).where(events.c.org_id == bindparam("org_id"), events.c.position.is_not(None)).limit(1)
)
_ENDS: Final = select(
    _THEIRS.order_by(events.c.created_at.asc()).scalar_subquery(),
    _THEIRS.order_by(events.c.created_at.desc()).scalar_subquery(),
)


def span(connection: Connection, org_id: str) -> tuple[datetime, datetime] | None:
    """The moments of the first event and of the last one; ``None`` without any."""
    first, last = connection.execute(_ENDS, {"org_id": org_id}).one()
    return None if first is None else (first, last)


def organisations(connection: Connection) -> Iterator[str]:
    """Those that have events: from one to the next through the index, not through the events."""
    found: str | None = ""
    while True:
        found = connection.execute(select(func.min(events.c.org_id)).where(events.c.org_id > found)).scalar()
        if found is None:
            return
        yield found
