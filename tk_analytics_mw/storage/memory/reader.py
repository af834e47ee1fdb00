"""Questions about events in memory, answered by looking at each."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Final

from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.json_values import dump
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.memory.held import Held
from tk_analytics_mw.storage.reader import Count, Page, RowSlice, Session, SessionPage, Slice
from tk_analytics_mw.storage.rows import row_of

SLICE: Final = 1_000
"""Positions of one slice of an export."""

_NOTHING: Final = object()


class MemoryReader:
    """See :class:`~tk_analytics_mw.storage.reader.Reader`."""

    def __init__(self, held: Held) -> None:
        self._held = held

    def event(self, org_id: str, event_id: str) -> Event | None:
        """See :meth:`Reader.event <tk_analytics_mw.storage.reader.Reader.event>`."""
        with self._held.lock:
            found = self._held.events.get(self._held.positions.get(event_id, 0))
        return found if found is not None and found.org_id == org_id else None

    def events(self, wanted: Filter, order: Order, *, limit: int, skip: int = 0, after: Place | None = None) -> Page:
        """See :meth:`Reader.events <tk_analytics_mw.storage.reader.Reader.events>`."""
        found = in_order(self._held, wanted)
        if order == "newest":
            found.reverse()
        if after is not None:
            found = [(at, event) for at, event in found if (at < after if order == "newest" else at > after)]
        page = found[skip : skip + limit]
        return Page([event for _, event in page], page[-1][0] if page and len(found) > skip + limit else None)

    def count(self, wanted: Filter, *, most: int | None = None) -> Count:
        """See :meth:`Reader.count <tk_analytics_mw.storage.reader.Reader.count>`."""
        number = len(in_order(self._held, wanted))
        return Count(number if most is None else min(number, most), exact=most is None or number <= most)

    def sessions(self, wanted: Filter, *, limit: int, after: Place | None = None) -> SessionPage:
        """See :meth:`Reader.sessions <tk_analytics_mw.storage.reader.Reader.sessions>`."""
        events: dict[str, list[Event]] = {}
        last: dict[str, Place] = {}
        for place, event in in_order(self._held, wanted):
            events.setdefault(event.session_id, []).append(event)
            last[event.session_id] = place
        ids = sorted((id_ for id_ in last if after is None or last[id_] < after), key=last.__getitem__, reverse=True)
        page = ids[:limit]
        return SessionPage([Session.of(events[id_]) for id_ in page], last[page[-1]] if len(ids) > limit else None)

    def session(self, org_id: str, session_id: str) -> Session | None:
        """See :meth:`Reader.session <tk_analytics_mw.storage.reader.Reader.session>`."""
        events = [event for _, event in in_order(self._held, Filter(org_id, equals={"session_id": session_id}))]
        return Session.of(events) if events else None

    def last_position(self) -> int:
        """See :meth:`Reader.last_position <tk_analytics_mw.storage.reader.Reader.last_position>`."""
        with self._held.lock:
            return max(self._held.events, default=0)

    def lines(self, wanted: Filter, *, after: int, until: int) -> Slice:
        """See :meth:`Reader.lines <tk_analytics_mw.storage.reader.Reader.lines>`."""
        end = min(after + SLICE, until)
        return Slice(b"".join(dump(event.as_read()) + b"\n" for event in self._between(wanted, after, end)), end)

    def rows(self, wanted: Filter, *, after: int, until: int) -> RowSlice:
        """See :meth:`Reader.rows <tk_analytics_mw.storage.reader.Reader.rows>`."""
        end = min(after + SLICE, until)
        return RowSlice([row_of(event) for event in self._between(wanted, after, end)], end)

    def _between(self, wanted: Filter, after: int, until: int) -> Iterator[Event]:
        with self._held.lock:
            return iter(
                [event for at, event in self._held.events.items() if after < at <= until and wants(wanted, event)]
            )


def in_order(held: Held, wanted: Filter) -> list[tuple[Place, Event]]:
    """The events that are wanted, the oldest first, each with its place in lists."""
    with held.lock:
        found = [(event.created_at, position, event) for position, event in held.events.items() if wants(wanted, event)]
    found.sort(key=itemgetter(0, 1))
    return [(Place(timestamp(moment), position), event) for moment, position, event in found]


def wants(wanted: Filter, event: Event) -> bool:
    """Whether an event is one of those."""
    if event.org_id != wanted.org_id:
        return False
    if wanted.since is not None and event.created_at < wanted.since:
        return False
    if wanted.until is not None and event.created_at >= wanted.until:
        return False
    for name, value in wanted.equals.items():
        if getattr(event, name) != value:
            return False
    metadata = event.event_metadata or {}
    for key, scalar in wanted.metadata.items():
        there = metadata.get(key, _NOTHING)
        if there != scalar or isinstance(there, bool) != isinstance(scalar, bool):
            return False
    return True
