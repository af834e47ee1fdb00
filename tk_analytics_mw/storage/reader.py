"""What a storage must do beside ``write`` to answer questions.

A question blocks the thread that asks it; endpoints ask in a worker thread under ASGI. Nothing here holds up a
writer: a reader works on a snapshot and gives up what takes too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol, runtime_checkable

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.queries import Filter, Order, Place
from tk_analytics_mw.storage.base import Storage

COUNTED: Final = 1_000
"""Where counting stops at the latest, unless all are asked for: the rest would take longer than the page."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many events there are."""

    events: int
    exact: bool
    """Whether that is all; else counting stopped there."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list of events."""

    events: Sequence[Event]
    next: Place | None
    """The place of the last one, if others follow it."""
    count: Count | None = None
    """How many the whole list has, as far as that was counted to find the page: up to :data:`COUNTED` at most."""


@dataclass(frozen=True, slots=True)
class Session:
    """What the events of one session say of it."""

    session_id: str
    first_event: datetime
    last_event: datetime
    events: int
    event_types: Sequence[str]
    """Canonical ones, in the order in which they came first."""

    @classmethod
    def of(cls, events: Sequence[Event]) -> Session:
        """The session of all of these events, of which there is at least one, the oldest first."""
        return cls(
            events[0].session_id,
            first_event=events[0].created_at,
            last_event=events[-1].created_at,
            events=len(events),
            event_types=[*dict.fromkeys(event.event_type for event in events)],
        )


@dataclass(frozen=True, slots=True)
class SessionPage:
    """A part of a list of sessions, the one with the latest event first."""

    sessions: Sequence[Session]
    next: Place | None


class Slice(NamedTuple):
    """A part of an export."""

    lines: bytes
    """The events as the API returns them, each as one line of JSON. May be empty though others follow."""
    position: int
    """Up to which events were looked at: the next slice begins after it."""


class RowSlice(NamedTuple):
    """A part of an export, as rows."""

    rows: Sequence[Sequence[object]]
    """Values in the order of :data:`~tk_analytics_mw.storage.rows.COLUMNS`."""
    position: int


class Reader(Protocol):
    """Answers questions about the events of one organisation at a time.

    Every method may raise :class:`~tk_analytics_mw.StorageUnavailable`, and
    :class:`~tk_analytics_mw.errors.ReadTooLong` for a question that takes too long.
    """

    def event(self, org_id: str, event_id: str) -> Event | None:
        """The event, ``None`` if the organisation has none with this id."""
        ...

    def events(self, wanted: Filter, order: Order, *, limit: int, skip: int = 0, after: Place | None = None) -> Page:
        """A part of the list of events.

        Args:
            wanted: which ones.
            order: of the list.
            limit: at most so many.
            skip: so many first; its cost grows with it.
            after: those behind this place; its cost does not grow.
        """
        ...

    def count(self, wanted: Filter, *, most: int | None = None) -> Count:
        """How many there are; counting stops at ``most``."""
        ...

    def sessions(self, wanted: Filter, *, limit: int, after: Place | None = None) -> SessionPage:
        """A part of the list of sessions that have such events; what is said of each counts those events alone."""
        ...

    def session(self, org_id: str, session_id: str) -> Session | None:
        """What is to be said of a session, ``None`` without any event of it."""
        ...

    def last_position(self) -> int:
        """The position of the event that was committed last; 0 without any.

        Positions are the order of commits: what is stored later has a higher one.
        """
        ...

    def lines(self, wanted: Filter, *, after: int, until: int) -> Slice:
        """The next slice of an export, in the order of commits: of positions behind ``after``, up to ``until``."""
        ...

    def rows(self, wanted: Filter, *, after: int, until: int) -> RowSlice:
        """Like :meth:`lines`, as rows."""
        ...


@runtime_checkable
class ReadableStorage(Storage, Protocol):
    """A storage that answers questions."""

    reader: Reader


def reader_of(storage: Storage) -> Reader:
    """What answers questions in a storage.

    Raises:
        ConfigurationError: nothing.
    """
    if not isinstance(storage, ReadableStorage):
        raise ConfigurationError(f"{type(storage).__name__} keeps events and answers no questions about them")
    return storage.reader
