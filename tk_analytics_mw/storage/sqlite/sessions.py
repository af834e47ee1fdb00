"""What the events of a session say of it."""

from __future__ import annotations

import sqlite3

from tk_analytics_mw.queries import Filter, Place
from tk_analytics_mw.storage.reader import Session, SessionPage
from tk_analytics_mw.storage.rows import moment_of
from tk_analytics_mw.storage.sqlite.filters import Condition, between, condition, listed
from tk_analytics_mw.storage.sqlite.lists import within


def sessions_of(connection: sqlite3.Connection, wanted: Filter, *, limit: int, after: Place | None) -> SessionPage:
    """See :meth:`Reader.sessions <tk_analytics_mw.storage.reader.Reader.sessions>`.

    Events are gone through from the latest on: the first one of a session that is met is its last one, unless a
    later one was on an earlier page.
    """
    where, values = listed(wanted, "newest", after, between(wanted, "newest", after))
    walk = connection.execute(
        f"SELECT session_id, created_at, position FROM events WHERE {where} ORDER BY created_at DESC, position DESC",  # noqa: S608
        values,
    )
    places: dict[str, Place] = {}
    earlier: set[str] = set()
    for session_id, created_at, position in walk:
        if session_id in places or session_id in earlier:
            continue
        if after is not None and _has_later(connection, wanted, session_id, after):
            earlier.add(session_id)
            continue
        places[session_id] = Place(created_at, position)
        if len(places) > limit:
            break
    walk.close()
    page = [*places][:limit]
    found = (session_of(connection, wanted, session_id) for session_id in page)
    following = places[page[-1]] if len(places) > limit else None
    return SessionPage([session for session in found if session is not None], following)


def session_of(connection: sqlite3.Connection, wanted: Filter, session_id: str) -> Session | None:
    """What those of its events say that are ``wanted``; ``None`` without any."""
    source = _events_of(connection, wanted, session_id)
    rows = connection.execute(
        f"SELECT event_type, min(created_at), max(created_at), count(*) FROM {source.sql} "  # noqa: S608
        # Of the type's events at its first moment the first one: moments are texts of one length.
        "GROUP BY event_type ORDER BY min(created_at || printf('%019d', position))",
        source.values,
    ).fetchall()
    if not rows:
        return None
    return Session(
        session_id,
        first_event=moment_of(min(row[1] for row in rows)),
        last_event=moment_of(max(row[2] for row in rows)),
        events=sum(row[3] for row in rows),
        event_types=[row[0] for row in rows],
    )


def _has_later(connection: sqlite3.Connection, wanted: Filter, session_id: str, place: Place) -> bool:
    source = _events_of(connection, wanted, session_id)
    found = connection.execute(
        f"SELECT 1 FROM {source.sql} AND (created_at, position) >= (?, ?) LIMIT 1",  # noqa: S608
        (*source.values, *place),
    )
    return found.fetchone() is not None


def _events_of(connection: sqlite3.Connection, wanted: Filter, session_id: str) -> Condition:
    """What stands behind ``FROM``."""
    where = condition(wanted)
    which = f"{where.sql} AND session_id = ?"
    look = within(connection, Filter(wanted.org_id, equals={"session_id": session_id}))
    if look is None:
        return Condition(f"events WHERE {which}", (*where.values, session_id))
    return Condition(f"events NOT INDEXED WHERE {look.sql} AND {which}", (*look.values, *where.values, session_id))
