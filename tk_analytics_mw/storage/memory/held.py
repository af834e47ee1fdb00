"""What is in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.erasure import Erased
from tk_analytics_mw.storage.outbox import State, Subscription, delivery_id


@dataclass(eq=False, slots=True)
class Row:
    """A delivery. Its fields are those of :class:`~tk_analytics_mw.storage.outbox.DeliveryRow`."""

    name: str
    event: Event
    state: State = "pending"
    attempts: int = 0
    due_at: float | None = None
    first_tried_at: float | None = None
    settled_at: float | None = None
    error: str | None = None
    owner: str | None = None

    @property
    def id(self) -> str:
        """Of the delivery."""
        return delivery_id(self.name, self.event.id)


@dataclass(slots=True)
class Enrolled:
    """What is known of a subscription."""

    delivered: int = 0
    discarded: int = 0
    off: str | None = None


@dataclass(eq=False)
class Held:
    """All there is. Whoever looks or writes holds :attr:`lock`."""

    events: dict[int, Event] = field(default_factory=dict)
    """By position, which is the order of commits."""
    positions: dict[str, int] = field(default_factory=dict)
    """By event id."""
    keys: dict[tuple[str, str], int] = field(default_factory=dict)
    """Positions, by organisation and idempotency key."""
    deliveries: dict[tuple[str, int], Row] = field(default_factory=dict)
    """By name and position."""
    subscriptions: dict[str, Enrolled] = field(default_factory=dict)
    last: int = 0
    """The highest position that was ever given."""
    _locks: dict[int, threading.RLock] = field(default_factory=dict)

    @property
    def lock(self) -> threading.RLock:
        """This process's: one that is held during a fork stays held in the child."""
        pid = os.getpid()
        return self._locks.get(pid) or self._locks.setdefault(pid, threading.RLock())

    def first(self, event: Event) -> Event | None:
        """What is held in the place of ``event``, by its key or its id."""
        position = None
        if event.idempotency_key is not None:
            position = self.keys.get((event.org_id, event.idempotency_key))
        if position is None:
            position = self.positions.get(event.id)
        return None if position is None else self.events[position]

    def add(self, event: Event) -> int:
        """Hold an event; give its position."""
        self.last += 1
        self.events[self.last] = event
        self.positions[event.id] = self.last
        if event.idempotency_key is not None:
            self.keys[event.org_id, event.idempotency_key] = self.last
        return self.last

    def owe(self, subscription: Subscription, position: int) -> None:
        """Note the delivery of an event, if the subscription wants its type and there is none yet."""
        event = self.events[position]
        if not subscription.event_types or event.event_type in subscription.event_types:
            self.deliveries.setdefault((subscription.name, position), Row(subscription.name, event))

    def remove(self, goes: Callable[[Event], bool], limit: int | None = None) -> Erased:
        """Let events go, the oldest first, with their deliveries."""
        gone = sorted((event.created_at, at) for at, event in self.events.items() if goes(event))[:limit]
        positions = {position for _, position in gone}
        for position in positions:
            event = self.events.pop(position)
            del self.positions[event.id]
            if event.idempotency_key is not None:
                del self.keys[event.org_id, event.idempotency_key]
        owed = [place for place in self.deliveries if place[1] in positions]
        for place in owed:
            del self.deliveries[place]
        return Erased(len(positions), len(owed))
