"""What a storage may do beside ``write`` to say what it holds, of all organisations: for the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from tk_analytics_mw.storage.base import Storage


@dataclass(frozen=True, slots=True)
class Survey:
    """What a storage holds."""

    events: Mapping[str, Mapping[str, int]]
    """How many of each canonical type, by organisation."""
    oldest: datetime | None
    newest: datetime | None
    last_day: int
    """Events of the last 24 hours."""
    size: int
    """Bytes on disk, log included."""


@runtime_checkable
class SurveyedStorage(Storage, Protocol):
    """A storage that says what it holds."""

    def organisations(self) -> list[str]:
        """Those that have events."""
        ...

    def survey(self) -> Survey:
        """Count what there is."""
        ...
