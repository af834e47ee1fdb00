"""What a storage must do beside ``write`` to keep tokens.

It gets digests and never a token, so that nothing can be read out of it that opens a door.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Literal, Protocol, runtime_checkable

from tk_analytics_mw.storage.base import Storage

MAX_LIVE: Final = 10_000
"""Tokens that count at the same time: each process knows all of them, some 10 MB then."""


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as it is kept.

    Attributes:
        id: its public name, ``public-1a2b3c4d``: kind, and the first eight digits of the digest.
        digest: SHA-256.
        kind: as in :class:`~tk_analytics_mw.Principal`, and so are ``org_id`` and ``domains``.
        label: what its owner calls it.
        expires_at: from then on it is refused.
        revoked_at: since when it has been refused.
        last_used: the last day, in UTC, on which somebody used it.
        rotated_from: id of the one whose place it takes.
    """

    id: str
    digest: bytes = field(repr=False)
    kind: Literal["public", "private"]
    org_id: str
    domains: tuple[str, ...]
    label: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used: date | None = None
    rotated_from: str | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether it counts at this moment."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class TokenStore(Protocol):
    """Keeps tokens. Every method may raise :class:`~tk_analytics_mw.StorageUnavailable`."""

    def tokens(self, *, ended_after: datetime | None = None) -> list[StoredToken]:
        """All tokens, the oldest first; only those that are live or ended after this, if it is given."""
        ...

    def add(self, token: StoredToken, *, ending: StoredToken | None = None) -> None:
        """Keep a new token.

        Args:
            token: the new one.
            ending: an older one, as it is to be from now on, in the same transaction: its end comes nearer.
        """
        ...

    def revoke(self, ids: Sequence[str], *, now: datetime) -> int:
        """Let these tokens count no longer. Give the number of those that did."""
        ...

    def note_use(self, id_: str, day: date) -> None:
        """Note that a token has been used on this day."""
        ...


@runtime_checkable
class TokenStorage(Storage, Protocol):
    """A storage that keeps tokens."""

    tokens: TokenStore
