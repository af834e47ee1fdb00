"""What the events of a session say of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.queries import Filter, Place
from tk_analytics_mw.storage.clickhouse.conditions import MOMENT, Condition, condition
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS, VALUES
from tk_analytics_mw.storage.reader import Session, SessionPage

_LATEST: Final = """
    SELECT session_id, max((toUnixTimestamp64Milli(created_at), position)) AS place
    FROM {events} FINAL WHERE {where} GROUP BY session_id {behind}
    ORDER BY place DESC LIMIT {{limit:UInt64}}
"""
_BEHIND: Final = (
    "HAVING place < (toUnixTimestamp64Milli(parseDateTime64BestEffort({after:String}, 3, 'UTC')), {behind:UInt64})"
)
_BY_TYPE: Final = """
    SELECT session_id, event_type, count(), toUnixTimestamp64Milli(min(created_at)) AS first,
        toUnixTimestamp64Milli(max(created_at)), min((created_at, position)) AS place
    FROM {events} FINAL WHERE {where} GROUP BY session_id, event_type ORDER BY place
"""
# Without FINAL, and with it only in the time that this gives: an index over sessions helps the one, and not the other.
_TIMES: Final = """
    SELECT toUnixTimestamp64Milli(min(created_at)) AS first, toUnixTimestamp64Milli(max(created_at)) AS last, count()
    FROM {events} WHERE {where}
"""
_AMONG: Final = f"indexHint(hasAny({VALUES}, {{session_ids:Array(String)}}))"
_WITHIN: Final = (
    f"created_at >= {MOMENT.format(name='session_first')} AND created_at <= {MOMENT.format(name='session_last')}"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


def sessions_of(connections: Connections, wanted: Filter, *, limit: int, after: Place | None) -> SessionPage:
    """See :meth:`Reader.sessions <tk_analytics_mw.storage.reader.Reader.sessions>`."""
    where = condition(wanted)
    values = {**where.values, "limit": limit + 1}
    if after is not None:
        values |= {"after": after.created_at, "behind": after.position}
    rows = connections.rows(
        _LATEST.format(events=EVENTS, where=where.sql, behind=_BEHIND if after is not None else ""), values
    )
    page = rows[:limit]
    found = _sessions(connections, where, [session_id for session_id, _ in page])
    milliseconds, position = page[-1][1] if page else (0, 0)
    following = Place(timestamp(moment_at(milliseconds)), position) if len(rows) > limit else None
    return SessionPage([found[session_id] for session_id, _ in page if session_id in found], following)


def session_of(connections: Connections, org_id: str, session_id: str) -> Session | None:
    """See :meth:`Reader.session <tk_analytics_mw.storage.reader.Reader.session>`."""
    return _sessions(connections, condition(Filter(org_id)), [session_id]).get(session_id)


def _sessions(connections: Connections, where: Condition, session_ids: Sequence[str]) -> dict[str, Session]:
    if not session_ids:
        return {}
    where = where.also("session_id IN {session_ids:Array(String)}", session_ids=list(session_ids))
    [(first, last, events)] = connections.rows(_TIMES.format(events=EVENTS, where=where.also(_AMONG).sql), where.values)
    if not events:
        return {}
    where = where.also(_WITHIN, session_first=first, session_last=last)
    by_session: dict[str, list[Any]] = {}
    for session_id, *row in connections.rows(_BY_TYPE.format(events=EVENTS, where=where.sql), where.values):
        by_session.setdefault(session_id, []).append(row)
    return {
        session_id: Session(
            session_id,
            first_event=moment_at(min(row[2] for row in rows)),
            last_event=moment_at(max(row[3] for row in rows)),
            events=sum(row[1] for row in rows),
            event_types=[row[0] for row in rows],
        )
        for session_id, rows in by_session.items()
    }


def moment_at(milliseconds: int) -> datetime:
    """The moment of so many milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
