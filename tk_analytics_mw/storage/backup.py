"""What a storage must do beside ``write`` to be backed up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from tk_analytics_mw.storage.base import Storage

Report = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


@runtime_checkable
class BackedUpStorage(Storage, Protocol):
    """A storage that can be copied while it is written to."""

    def backup(self, path: Path, report: Report) -> None:
        """Copy everything that is stored when this begins into a file that is not there yet.

        Raises:
            FileExistsError: it is.
            StorageUnavailable: it cannot be done now; nothing is left of the attempt.
        """
        ...
