"""What a storage must do beside ``write`` to forget: one person's events, or old ones.

Work is done a slice at a time, each in a transaction of its own, so that those who write wait little. All of it
may be repeated: what is gone already is not missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, runtime_checkable

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.storage.base import Storage

SLICE: Final = 1_000
"""Events of one transaction at the most."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose events: of a user, or of a session.

    Args:
        org_id: only within this organisation; ``None`` for all of them.
        user_id: of the events.
        session_id: of the events.

    Raises:
        ConfigurationError: it is neither or both.
    """

    org_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None

    def __post_init__(self) -> None:
        if (self.user_id is None) == (self.session_id is None):
            raise ConfigurationError("whose events? Either those of a user or those of a session")


@dataclass(frozen=True, slots=True)
class Erased:
    """What has gone."""

    events: int = 0
    deliveries: int = 0
    """Of durable hooks, with those events in them."""

    def __add__(self, other: Erased) -> Erased:
        return Erased(self.events + other.events, self.deliveries + other.deliveries)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work has come."""

    erased: Erased
    """Since the last time."""
    done: int
    """Of ``total``."""
    total: int


class Erasure(Protocol):
    """Removes events, with the deliveries they are in and everything that was counted of them."""

    def organisations(self, subject: Subject) -> list[str]:
        """Which organisations have events of this subject."""
        ...

    def erase(self, subject: Subject) -> Iterator[Progress]:
        """Remove the events of a subject that are stored when this begins."""
        ...

    def count(self, before: datetime) -> int:
        """How many events are older than this."""
        ...

    def purge(self, before: datetime, limit: int = SLICE) -> Erased:
        """Remove the oldest of the events that are older than this, at most ``limit`` of them.

        Where the oldest ones are kept apart from all others, they may go together, however many they are.
        """
        ...

    def finish(self) -> bool:
        """Have nothing of it left in logs either.

        Returns:
            Whether that is so. Else somebody reads what was there before: try again.
        """
        ...


@runtime_checkable
class ErasingStorage(Storage, Protocol):
    """A storage that can forget."""

    erasure: Erasure
