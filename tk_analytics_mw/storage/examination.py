"""What a storage may do beside ``write`` to be looked over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from tk_analytics_mw.storage.base import Storage


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and what to do."""

    level: Literal["ok", "warning", "error"]
    """An error loses events or lets the wrong people in; a warning may, one day."""
    what: str
    advice: str = ""


@runtime_checkable
class ExaminedStorage(Storage, Protocol):
    """A storage that can be looked over."""

    def examine(self) -> Iterator[Finding]:
        """Look over what its engine and its files need."""
        ...
