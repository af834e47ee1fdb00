"""What a storage does beside ``write`` whose tables are made and changed by a command, and not by the first event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from tk_analytics_mw.storage.base import Storage


@runtime_checkable
class MigratedStorage(Storage, Protocol):
    """A storage with migrations. Until they are applied it raises :class:`~tk_analytics_mw.StorageUnavailable`,
    which names the command."""

    def pending(self) -> Sequence[str]:
        """Names of the migrations that are still to be applied, in their order."""
        ...

    def migrate(self) -> Sequence[str]:
        """Apply them. Give their names."""
        ...
