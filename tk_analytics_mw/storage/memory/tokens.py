"""Tokens in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.storage.tokens import StoredToken


class MemoryTokens:
    """See :class:`~tk_analytics_mw.storage.tokens.TokenStore`."""

    def __init__(self) -> None:
        self._tokens: dict[str, StoredToken] = {}

    def tokens(self, *, ended_after: datetime | None = None) -> list[StoredToken]:
        """See :meth:`TokenStore.tokens <tk_analytics_mw.storage.tokens.TokenStore.tokens>`."""
        found = sorted(self._tokens.values(), key=lambda token: (token.created_at, token.id))
        return [token for token in found if ended_after is None or _end(token, ended_after) > ended_after]

    def add(self, token: StoredToken, *, ending: StoredToken | None = None) -> None:
        """See :meth:`TokenStore.add <tk_analytics_mw.storage.tokens.TokenStore.add>`."""
        if any(token.digest == held.digest for held in self._tokens.values()):
            raise ConfigurationError(f"the token {token.id} is kept already")
        self._tokens |= {each.id: each for each in (token, ending) if each is not None}

    def revoke(self, ids: Sequence[str], *, now: datetime) -> int:
        """See :meth:`TokenStore.revoke <tk_analytics_mw.storage.tokens.TokenStore.revoke>`."""
        live = [id_ for id_ in ids if id_ in self._tokens and self._tokens[id_].is_live(now)]
        self._tokens |= {id_: replace(self._tokens[id_], revoked_at=now) for id_ in live}
        return len(live)

    def note_use(self, id_: str, day: date) -> None:
        """See :meth:`TokenStore.note_use <tk_analytics_mw.storage.tokens.TokenStore.note_use>`."""
        token = self._tokens.get(id_)
        if token is not None and (token.last_used or date.min) < day:
            self._tokens[id_] = replace(token, last_used=day)


def _end(token: StoredToken, moment: datetime) -> datetime:
    """When it ended or will end; any later moment if it does not."""
    ends = [end for end in (token.revoked_at, token.expires_at) if end is not None]
    return min(ends, default=moment.replace(year=9999))
