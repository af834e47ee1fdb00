"""What the events of sessions say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, func, not_, select

from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.queries import Filter, Place
from tk_analytics_mw.storage.reader import Session, SessionPage
from tk_analytics_mw.storage.sql.filters import (
    SHAPES,
    Conditions,
    Shape,
    Values,
    behind,
    conditions,
    place_values,
    shape_of,
    values_of,
)
from tk_analytics_mw.storage.sql.schema import events
from tk_analytics_mw.storage.sql.terms import ever_have_term, term_values
from tk_analytics_mw.storage.sql.walks import walk

LOOKED_AT: Final = 50
"""Sessions of which it is asked together whether they were on an earlier page."""


def sessions_of(connection: Connection, wanted: Filter, *, limit: int, after: Place | None) -> SessionPage:
    """See :meth:`Reader.sessions <tk_analytics_mw.storage.reader.Reader.sessions>`.

    Events are gone through from the latest on: the first one of a session that is met is its last one, unless a
    later one was on an earlier page.
    """
    met = _met(walk(connection, wanted, "newest", "session_id", after=after))
    places: dict[str, Place] = {}
    while len(places) <= limit:
        some = dict(islice(met, LOOKED_AT if after is not None else limit + 1))
        if not some:
            break
        earlier = set() if after is None else _with_later(connection, wanted, [*some], after)
        places |= {session_id: place for session_id, place in some.items() if session_id not in earlier}
    page = [*places][:limit]
    said = said_of(connection, wanted, page)
    following = places[page[-1]] if len(places) > limit else None
    return SessionPage([said[session_id] for session_id in page], following)


def said_of(connection: Connection, wanted: Filter, ids: Sequence[str]) -> dict[str, Session]:
    """What those of their events say that are ``wanted``, for each session that has any."""
    if not ids:
        return {}
    rows = connection.execute(_said(shape_of(connection, wanted)), _values(wanted, ids))
    found: dict[str, list[Any]] = {}
    for session_id, *row in rows:
        found.setdefault(session_id, []).append(row)
    return {session_id: _session(session_id, sorted(rows)) for session_id, rows in found.items()}


@lru_cache(SHAPES)
def _said(shape: Shape) -> Select[Any]:
    types = (
        select(
            events.c.session_id,
            events.c.event_type,
            func.min(events.c.created_at).label("first"),
            func.max(events.c.created_at).label("last"),
            func.count().label("number"),
        )
        .where(*_of(shape))
        .group_by(events.c.session_id, events.c.event_type)
        .subquery("types")
    )
    # Of events of one moment the first one.
    one = events.alias("one")
    position = (
        select(func.min(one.c.position))
        .where(
            *conditions(shape, one),
            one.c.created_at == types.c.first,
            one.c.session_id == types.c.session_id,
            one.c.event_type == types.c.event_type,
        )
        .scalar_subquery()
    )
    return select(types.c.session_id, types.c.first, position, types.c.event_type, types.c.last, types.c.number)


def _met(rows: Iterable[Any]) -> Iterable[tuple[str, Place]]:
    """Sessions, each once, with the place at which it was met first."""
    known: set[str] = set()
    for created_at, position, session_id in rows:
        if session_id not in known:
            known.add(session_id)
            yield session_id, Place(timestamp(created_at), position)


def _with_later(connection: Connection, wanted: Filter, ids: Sequence[str], place: Place) -> set[str]:
    """Those that have an event at or before this place of the list."""
    statement = _earlier(shape_of(connection, wanted))
    return {*connection.execute(statement, {**_values(wanted, ids), **place_values(place)}).scalars()}


@lru_cache(SHAPES)
def _earlier(shape: Shape) -> Select[Any]:
    return (
        select(events.c.session_id).distinct().where(*_of(shape), not_(behind("newest", by_time=not shape.postgresql)))
    )


def _of(shape: Shape) -> Conditions:
    """The condition that an event is one of some sessions'."""
    theirs = events.c.session_id.in_(bindparam("ids", expanding=True))
    if not shape.postgresql:
        return [*conditions(shape), theirs]
    return [*conditions(shape, by_time=False), theirs, ever_have_term("session_id")]


def _values(wanted: Filter, ids: Sequence[str]) -> Values:
    return {**values_of(wanted), **term_values(wanted, ids), "ids": [*ids]}


def _session(session_id: str, types: Sequence[Any]) -> Session:
    return Session(
        session_id,
        first_event=types[0][0],
        last_event=max(last for _, _, _, last, _ in types),
        events=sum(number for *_, number in types),
        event_types=[event_type for _, _, event_type, _, _ in types],
    )
