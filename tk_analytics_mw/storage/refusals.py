"""What a storage must do beside ``write`` to remember what was refused, and why.

Counts by the day, and the last few samples of each organisation. Neither holds a token, a body, or anything else that
a client sent, but the origin it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, NamedTuple, Protocol, runtime_checkable

from tk_analytics_mw.storage.base import Storage

SAMPLES: Final = 100
"""Kept of each organisation, and of what belongs to none."""

MOST_A_DAY: Final = 10_000
"""Different refusals kept of a day, some 1 MB; what is further is counted without its token and origin."""

DAYS: Final = 30
"""That counts are kept: older ones go when a later day's are added."""

OTHER: Final = "(other)"
"""Stands for tokens and origins beyond the bounds."""


class Refusal(NamedTuple):
    """What is counted together."""

    org_id: str
    """Whose token it was; ``""`` where there was none that is known. What a request *says* of organisations counts
    nothing: anybody can say it."""
    token: str
    """Its public name."""
    reason: str
    origin: str
    """The ``Origin`` header; ``""`` without one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request that was refused."""

    refused_at: datetime
    refusal: Refusal
    path: str
    """The field that was wrong, such as ``body.eventType``; ``""`` if it was none."""


class RefusalStore(Protocol):
    """Remembers refusals. Every method may raise :class:`~tk_analytics_mw.StorageUnavailable`."""

    def add(self, day: date, counts: Mapping[Refusal, int], samples: Sequence[Sample]) -> None:
        """Add what one process has gathered. What is kept of it all is bounded."""
        ...

    def counts(self, *, since: date, org_id: str | None = None) -> list[tuple[Refusal, int]]:
        """How often what was refused since that day, the most frequent first; of one organisation, or of all."""
        ...

    def samples(self, *, limit: int, org_id: str | None = None) -> list[Sample]:
        """The last samples, the newest first."""
        ...


@runtime_checkable
class RefusalStorage(Storage, Protocol):
    """A storage that remembers refusals."""

    refusals: RefusalStore
