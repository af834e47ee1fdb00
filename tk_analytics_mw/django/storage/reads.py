"""Events as answers: one, a list, a session, all of them."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Count as CountOf
from django.db.models import Max, Min, QuerySet

from tk_analytics_mw import events as kinds
from tk_analytics_mw.django.storage import positions
from tk_analytics_mw.django.storage.connections import Connections
from tk_analytics_mw.django.storage.filters import BY_TIME, behind, wanted_events
from tk_analytics_mw.django.storage.models import Event
from tk_analytics_mw.django.storage.records import events_of, id_of, rows_of, text_of
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.lines import line_of
from tk_analytics_mw.storage.reader import Count, Page, RowSlice, Session, SessionPage, Slice
from tk_analytics_mw.storage.rows import COLUMNS, event_of

SLICE: Final = 5_000
"""Positions of one slice of an export: 3 MB of JSON."""

_CREATED_AT: Final = COLUMNS.index("created_at")


class DjangoReader:
    """See :class:`~tk_analytics_mw.storage.reader.Reader`.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def event(self, org_id: str, event_id: str) -> kinds.Event | None:
        """See :meth:`Reader.event <tk_analytics_mw.storage.reader.Reader.event>`."""
        id_ = id_of(event_id)
        if id_ is None:
            return None
        with self._connections.reading() as using:
            found = events_of(Event.objects.using(using).filter(pk=id_, org_id=org_id))
        return found[0] if found else None

    def events(self, wanted: Filter, order: Order, *, limit: int, skip: int = 0, after: Place | None = None) -> Page:
        """See :meth:`Reader.events <tk_analytics_mw.storage.reader.Reader.events>`."""
        with self._connections.reading() as using:
            found = wanted_events(using, wanted).order_by(*BY_TIME[order])
            if after is not None:
                found = behind(found, order, after)
            rows = [*rows_of(found[skip : skip + limit + 1], "position")]
        events = [event_of(row[:-1]) for row in rows[:limit]]
        return Page(events, Place(rows[limit - 1][_CREATED_AT], rows[limit - 1][-1]) if len(rows) > limit else None)

    def count(self, wanted: Filter, *, most: int | None = None) -> Count:
        """See :meth:`Reader.count <tk_analytics_mw.storage.reader.Reader.count>`."""
        with self._connections.reading() as using:
            found = wanted_events(using, wanted)
            number = (found if most is None else found[: most + 1]).count()
        return Count(number if most is None else min(number, most), exact=most is None or number <= most)

    def sessions(self, wanted: Filter, *, limit: int, after: Place | None = None) -> SessionPage:
        """See :meth:`Reader.sessions <tk_analytics_mw.storage.reader.Reader.sessions>`.

        Events are gone through from the latest on: the first one of a session that is met is its last one, unless a
        later one was on an earlier page.
        """
        places: dict[str, Place] = {}
        earlier: set[str] = set()
        with self._connections.reading() as using:
            events = wanted_events(using, wanted)
            walk = events.order_by(*BY_TIME["newest"]).values_list("session_id", "created_at", "position")
            for session_id, moment, position in (walk if after is None else behind(walk, "newest", after)).iterator():
                if session_id in places or session_id in earlier:
                    continue
                its = events.filter(session_id=session_id)
                if after is not None and its.count() > behind(its, "newest", after).count():
                    earlier.add(session_id)
                    continue
                places[session_id] = Place(text_of(moment), position)
                if len(places) > limit:
                    break
            page = [*places][:limit]
            found = [_session(events, session_id) for session_id in page]
        following = places[page[-1]] if len(places) > limit else None
        return SessionPage([session for session in found if session is not None], following)

    def session(self, org_id: str, session_id: str) -> Session | None:
        """See :meth:`Reader.session <tk_analytics_mw.storage.reader.Reader.session>`."""
        with self._connections.reading() as using:
            return _session(wanted_events(using, Filter(org_id)), session_id)

    def last_position(self) -> int:
        """See :meth:`Reader.last_position <tk_analytics_mw.storage.reader.Reader.last_position>`."""
        with self._connections.reading() as using:
            return positions.last(using)

    def lines(self, wanted: Filter, *, after: int, until: int) -> Slice:
        """See :meth:`Reader.lines <tk_analytics_mw.storage.reader.Reader.lines>`."""
        rows, position = self._slice(wanted, after, until)
        return Slice(b"".join(map(line_of, rows)), position)

    def rows(self, wanted: Filter, *, after: int, until: int) -> RowSlice:
        """See :meth:`Reader.rows <tk_analytics_mw.storage.reader.Reader.rows>`."""
        return RowSlice(*self._slice(wanted, after, until))

    def _slice(self, wanted: Filter, after: int, until: int) -> tuple[list[list[Any]], int]:
        end = min(after + SLICE, until)
        with self._connections.reading() as using:
            found = wanted_events(using, wanted).filter(position__gt=after, position__lte=end)
            return [*rows_of(found.order_by("position"))], end


def _session(events: QuerySet[Event], session_id: str) -> Session | None:
    """What those of its events say that are among these; ``None`` without any."""
    first: dict[str, tuple[Any, int]] = {}
    its = events.filter(session_id=session_id)
    for event_type, *place in its.order_by(*BY_TIME["oldest"]).values_list("event_type", "created_at", "position"):
        first.setdefault(event_type, (place[0], place[1]))
    if not first:
        return None
    said = its.aggregate(first=Min("created_at"), last=Max("created_at"), events=CountOf("pk"))
    return Session(
        session_id,
        first_event=said["first"],
        last_event=said["last"],
        events=said["events"],
        event_types=sorted(first, key=lambda event_type: first[event_type]),
    )
