"""What a storage may do beside ``write`` to be looked over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, runtime_checkable

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


INNODB: Final = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'read_only')"
"""SQL for the names and values that :func:`of_innodb` takes."""


def of_innodb(found: Mapping[str, Any]) -> Iterator[Finding]:
    """What is to be said of a MariaDB or a MySQL with these settings."""
    if found.get("innodb_flush_log_at_trx_commit") != "1":
        yield Finding(
            "error",
            "innodb_flush_log_at_trx_commit is not 1: a crash can take what was acknowledged",
            "Set it to 1. No transaction can do that for itself.",
        )
    if found.get("read_only") not in (None, "OFF", "0"):
        yield Finding("error", "the server takes no writes: it is a replica, or read only", "Name the primary.")
