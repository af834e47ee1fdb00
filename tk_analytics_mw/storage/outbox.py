"""What a storage must do beside ``write`` for durable hooks.

A delivery is one event for one subscription. It is written in the event's own transaction, claimed by a
deliverer for a while (a lease), and settled. A deliverer that dies lets its lease run out; another takes over.
All times are seconds since 1970, by the deliverer's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.base import Storage

State = Literal["pending", "running", "retrying", "delivered", "dead", "discarded"]
Settled = Literal["delivered", "retrying", "dead", "discarded"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who wants which events, durably."""

    name: str
    """Unique and stable: deliveries are kept under it."""
    event_types: frozenset[str] = frozenset()
    """Canonical ones; none for all."""
    since: Literal["now", "all"] = "now"
    """Whether it wants the events too that were stored before it came."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One call of a durable hook.

    Attributes:
        id: the same at each attempt: what a receiver recognises a repetition by.
        name: of the subscription.
        event: that is delivered.
        attempt: 1 at the first.
        first_tried_at: when the first attempt began, in UTC.
    """

    id: str
    name: str
    event: Event
    attempt: int
    first_tried_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt."""

    delivery: Delivery
    state: Settled
    error: str | None = None
    """Why it is not ``delivered``."""
    due_at: float | None = None
    """When a ``retrying`` one is tried again."""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as it stands in the storage, for people who look after it."""

    id: str
    name: str
    event_id: str
    state: State
    attempts: int
    """Failed ones, and the one that succeeded."""
    due_at: float | None
    first_tried_at: float | None
    settled_at: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Which deliveries; what is ``None`` does not matter."""

    id: str | None = None
    name: str | None = None
    event_id: str | None = None
    states: tuple[State, ...] = ()
    """None for all."""
    before: str | None = None
    """An event id: only deliveries of events older than it. (Event ids are ordered by time.)"""


@dataclass(frozen=True, slots=True)
class Counts:
    """How one subscription stands."""

    pending: int = 0
    """To be delivered, those that failed before included."""
    failed: int = 0
    """Of those, the ones that failed at least once."""
    delivered: int = 0
    """Since the subscription began."""
    discarded: int = 0
    dead: int = 0
    """Given up; to be replayed or discarded by somebody."""
    oldest_event: str | None = None
    """Id of the oldest pending event; its time is in it."""
    off: str | None = None
    """Why it has been switched off, if it has."""


def delivery_id(name: str, event_id: str) -> str:
    """The id of a delivery: that of its event, told apart by the name."""
    return f"{name}:{event_id}"


class Outbox(Protocol):
    """Keeps deliveries."""

    def enroll(self, subscription: Subscription, *, now: float) -> bool:
        """Note that there is this subscription, and fill in a slice of the past if it wants that.

        Returns:
            Whether there is more of the past to be filled in: call it again.
        """
        ...

    def claim(self, name: str, *, owner: str, limit: int, now: float, until: float, ordered: bool) -> list[Delivery]:
        """Take deliveries that are due, in the order of commits, and keep other deliverers off them.

        One that another deliverer took and did not settle in time comes alone, its lost attempt counted: should
        it be what killed that deliverer, it takes no others along.

        Args:
            name: of the subscription. Nothing is due while it is switched off.
            owner: of the lease; unlike that of any other claim in any process.
            limit: at most so many.
            now: what is due is due by this.
            until: end of the lease.
            ordered: nothing while an earlier one of the same name runs or waits for its next attempt.
        """
        ...

    def renew(self, owner: str, *, until: float) -> None:
        """Prolong the lease of everything that ``owner`` holds."""
        ...

    def settle(self, owner: str, outcomes: Sequence[Outcome], *, now: float) -> None:
        """Write down what became of deliveries. Those that ``owner`` no longer holds are left as they are."""
        ...

    def release(self, owner: str) -> None:
        """Give back what ``owner`` holds and has not tried."""
        ...

    def switch(self, name: str, *, off: str | None) -> None:
        """Switch a subscription off, saying why, or on again (``None``). Nothing that waits is lost."""
        ...

    def counts(self) -> Mapping[str, Counts]:
        """How each subscription stands that was ever enrolled or has deliveries."""
        ...

    def find(self, query: DeliveryQuery, *, limit: int) -> list[DeliveryRow]:
        """Look at deliveries, the newest event first."""
        ...

    def replay(self, query: DeliveryQuery) -> int:
        """Make settled deliveries pending again, with all their attempts before them. Give their number."""
        ...

    def discard(self, query: DeliveryQuery, *, why: str, now: float) -> int:
        """Settle deliveries that are waiting or dead as discarded. Give their number."""
        ...

    def forget(self, *, before: float, limit: int) -> int:
        """Remove deliveries that were settled before then, at most ``limit``; never dead ones. Give their number."""
        ...


@runtime_checkable
class DurableStorage(Storage, Protocol):
    """A storage that has an outbox."""

    outbox: Outbox

    def write(self, events: Sequence[Event], due: Sequence[Subscription] = ()) -> Sequence[Event] | None:
        """Like :meth:`Storage.write`; a delivery of each event to each of ``due`` that wants it becomes durable
        with it, or neither does. An event that is held already is not delivered again."""
        ...


def outbox_of(storage: Storage) -> Outbox:
    """The outbox of a storage.

    Raises:
        ConfigurationError: it has none.
    """
    if not isinstance(storage, DurableStorage):
        raise ConfigurationError(f"{type(storage).__name__} has no outbox: it keeps no deliveries")
    return storage.outbox
