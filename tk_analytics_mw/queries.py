"""What is asked of a storage: questions as types, so that no storage sees a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple

from tk_analytics_mw.events import Event

Scalar = str | int | float | bool | None

_OTHER_COLUMNS: Final = frozenset(
    # A filter's organisation and time stand apart; the last two say how a request was made; objects are no scalars.
    {"org_id", "created_at", "event_metadata", "configuration", "spelling", "idempotency_key"}
)
EQUAL_COLUMNS: Final = tuple(name for name in Event.model_fields if name not in _OTHER_COLUMNS)
"""The fields of an event that a filter can ask for by value: the scalar ones."""

Order = Literal["newest", "oldest"]
"""By ``created_at``; events of the same millisecond in the order of commits."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events of one organisation.

    Attributes:
        org_id: whose.
        equals: exact values, by the names in :data:`EQUAL_COLUMNS`. Event types are canonical.
        metadata: exact values of keys of ``event_metadata``. ``1`` and ``1.0`` are the same, ``1`` and ``True``
            are not.
        since: not before this moment, in UTC.
        until: before this moment, in UTC.
    """

    org_id: str
    equals: Mapping[str, str | float] = field(default_factory=dict)
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None


class Place(NamedTuple):
    """Where an event stands in a list: behind it another page begins."""

    created_at: str
    """As it is stored: ISO 8601 with milliseconds and ``Z``."""
    position: int
