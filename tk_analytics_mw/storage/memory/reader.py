"""Questions about events in memory, answered by looking at each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from operator import itemgetter
from typing import Final

from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.json_values import dump
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.memory.held import Held
from tk_analytics_mw.storage.reader import Count, Page, RowSlice, Session, SessionPage, Slice
from tk_analytics_mw.storage.rows import moment_of, row_of

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
            place = _moment(after)
            found = [each for each in found if (each[:2] < place if order == "newest" else each[:2] > place)]
        page = found[skip : skip + limit]
        following = _place(*page[-1][:2]) if page and len(found) > skip + limit else None
        return Page([event for _, _, event in page], following)

    def count(self, wanted: Filter, *, most: int | None = None) -> Count:
        """See :meth:`Reader.count <tk_analytics_mw.storage.reader.Reader.count>`."""
        with self._held.lock:
            number = sum(wants(wanted, event) for event in self._held.events.values())
        return Count(number if most is None else min(number, most), exact=most is None or number <= most)

    def sessions(self, wanted: Filter, *, limit: int, after: Place | None = None) -> SessionPage:
        """See :meth:`Reader.sessions <tk_analytics_mw.storage.reader.Reader.sessions>`."""
        events: dict[str, list[Event]] = {}
        last: dict[str, tuple[datetime, int]] = {}
        for moment, position, event in in_order(self._held, wanted):
            events.setdefault(event.session_id, []).append(event)
            last[event.session_id] = moment, position
        behind = None if after is None else _moment(after)
        ids = [id_ for id_, place in last.items() if behind is None or place < behind]
        ids.sort(key=last.__getitem__, reverse=True)
        page = ids[:limit]
        following = _place(*last[page[-1]]) if len(ids) > limit else None
        return SessionPage([Session.of(events[id_]) for id_ in page], following)

    def session(self, org_id: str, session_id: str) -> Session | None:
        """See :meth:`Reader.session <tk_analytics_mw.storage.reader.Reader.session>`."""
        events = [event for _, _, event in in_order(self._held, Filter(org_id, equals={"session_id": session_id}))]
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


def in_order(held: Held, wanted: Filter) -> list[tuple[datetime, int, Event]]:
    """The events that are wanted, the oldest first, each with its moment and its position."""
    with held.lock:
        found = [(event.created_at, position, event) for position, event in held.events.items() if wants(wanted, event)]
    found.sort(key=itemgetter(0, 1))
    return found


def _place(moment: datetime, position: int) -> Place:
    return Place(timestamp(moment), position)


def _moment(place: Place) -> tuple[datetime, int]:
    return moment_of(place.created_at), place.position


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
