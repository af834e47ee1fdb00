"""What a storage must do beside ``write`` to give figures: counts over many events, of one organisation at a time.

Every method may raise :class:`~tk_analytics_mw.StorageUnavailable`, and
:class:`~tk_analytics_mw.errors.ReadTooLong` for a question that takes too long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, runtime_checkable

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.base import Storage

Column = Literal["asset_id", "event_type", "device_type", "browser", "system"]


@dataclass(frozen=True, slots=True)
class Dimension:
    """By what events are told apart: a field, or a key of one of their objects."""

    column: Column | Literal["event_metadata", "configuration"]
    key: str | None = None
    """Of the object."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much there is of something."""

    events: int
    metric: float
    """The sum over the events."""
    sessions: int
    """Unlike ones."""
    users: int


@dataclass(frozen=True, slots=True)
class Group:
    """The events that have one value."""

    value: Any
    """A JSON value; ``None`` for the events that have none."""
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Events by value."""

    total: Amounts
    groups: Sequence[Group]
    """The largest first."""
    other_values: int
    """How many values have no group of their own."""
    other: Amounts
    """Of those."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A step of a funnel."""

    sessions: int
    """How many got there."""
    median: timedelta | None
    """From the step before; ``None`` at the first step, and where nobody got."""


@dataclass(slots=True)
class Chosen:
    """In how many sessions a value was chosen, and what became of it."""

    sessions: int = 0
    carts: int = 0
    """Sessions in which it was put into the cart."""
    orders: int = 0
    """Sessions in which it was ordered."""


@dataclass(slots=True)
class Attribute:
    """What was chosen for an attribute of configurations."""

    name: str
    sessions: int = 0
    """In which any value was chosen."""
    values: dict[str, Chosen] = field(default_factory=dict)
    """By the value, as JSON with sorted keys."""


class Figures(Protocol):
    """Gives figures."""

    def span(self, org_id: str) -> tuple[datetime, datetime] | None:
        """When the organisation's first event was created, and its last one; ``None`` without any."""
        ...

    def views(self, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
        """How many events there are from each of ``edges`` to the next one.

        Args:
            wanted: which events; its own times are left out of account.
            edges: in UTC, ascending.
        """
        ...

    def breakdown(self, wanted: Filter, by: Dimension, *, top: int) -> Breakdown:
        """Events by value, at most ``top`` of them one by one."""
        ...

    def funnel(self, wanted: Filter, steps: Sequence[str], within: timedelta | None) -> list[Reached]:
        """How far sessions got: see :mod:`tk_analytics_mw.storage.funnels`.

        Args:
            wanted: which events; not by their type.
            steps: canonical event types.
            within: all steps are to be reached in this time.
        """
        ...

    def attributes(self, wanted: Filter) -> list[Attribute]:
        """What was chosen: see :mod:`tk_analytics_mw.storage.choices`."""
        ...

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Count again what is kept counted, and prepare what else the first one who asks would wait for.

        Events are written and read meanwhile.

        Args:
            progress: called with how much of how much is done.
        """
        ...


@runtime_checkable
class CountingStorage(Storage, Protocol):
    """A storage that gives figures."""

    figures: Figures


def figures_of(storage: Storage) -> Figures:
    """What gives figures in a storage.

    Raises:
        ConfigurationError: nothing.
    """
    if not isinstance(storage, CountingStorage):
        raise ConfigurationError(f"{type(storage).__name__} keeps events and gives no figures about them")
    return storage.figures
