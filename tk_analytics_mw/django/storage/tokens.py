"""Tokens: the table ``tk_analytics_token``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from django.db.models import Q

from tk_analytics_mw.django.storage import positions
from tk_analytics_mw.django.storage.connections import Connections
from tk_analytics_mw.django.storage.models import Token
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.storage.tokens import MAX_LIVE, StoredToken

_FIELDS: Final = (
    "id", "digest", "kind", "org_id", "domains", "label", "created_at", "expires_at", "revoked_at", "last_used",
    "rotated_from",
)  # fmt: skip


class DjangoTokens:
    """See :class:`~tk_analytics_mw.storage.tokens.TokenStore`.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def tokens(self, *, ended_after: datetime | None = None) -> list[StoredToken]:
        """See :meth:`TokenStore.tokens <tk_analytics_mw.storage.tokens.TokenStore.tokens>`."""
        with self._connections.reading() as using:
            found = Token.objects.using(using).order_by("created_at", "id")
            if ended_after is not None:
                for end in ("revoked_at", "expires_at"):
                    found = found.filter(Q(**{f"{end}__isnull": True}) | Q(**{f"{end}__gt": ended_after}))
            return [_token(row) for row in found]

    def add(self, token: StoredToken, *, ending: StoredToken | None = None) -> None:
        """See :meth:`TokenStore.add <tk_analytics_mw.storage.tokens.TokenStore.add>`."""
        with self._connections.writing() as using:
            positions.take(using, 0)  # one at a time, so that the bound holds
            rows = Token.objects.using(using)
            if rows.filter(_is_live(token.created_at)).count() >= MAX_LIVE:
                raise ConfigurationError(f"there are {MAX_LIVE:,} live tokens; for more, write an authenticator")
            values = {name: getattr(token, name) for name in _FIELDS}
            rows.create(**{**values, "digest": token.digest.hex(), "domains": [*token.domains]})
            if ending is not None:
                rows.filter(pk=ending.id).update(expires_at=ending.expires_at)

    def revoke(self, ids: Sequence[str], *, now: datetime) -> int:
        """See :meth:`TokenStore.revoke <tk_analytics_mw.storage.tokens.TokenStore.revoke>`."""
        with self._connections.writing() as using:
            rows = Token.objects.using(using).filter(_is_live(now))
            return sum(rows.filter(pk=id_).update(revoked_at=now) for id_ in ids)

    def note_use(self, id_: str, day: date) -> None:
        """See :meth:`TokenStore.note_use <tk_analytics_mw.storage.tokens.TokenStore.note_use>`."""
        with self._connections.writing() as using:
            earlier = Q(last_used__isnull=True) | Q(last_used__lt=day)
            Token.objects.using(using).filter(earlier, pk=id_).update(last_used=day)


def _is_live(now: datetime) -> Q:
    return Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))


def _token(row: Token) -> StoredToken:
    values = {name: getattr(row, name) for name in _FIELDS}
    return StoredToken(**{**values, "digest": bytes.fromhex(row.digest), "domains": tuple(row.domains)})
