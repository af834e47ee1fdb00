"""Tokens in the SQLite file: the table ``tokens``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Any, Final

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.storage.sqlite.connections import Connections
from tk_analytics_mw.storage.tokens import MAX_LIVE, StoredToken

_COLUMNS: Final = (
    "id, digest, kind, org_id, domains, label, created_at, expires_at, revoked_at, last_used, rotated_from"
)
_LIVE: Final = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)"


class SqliteTokens:
    """See :class:`~tk_analytics_mw.storage.tokens.TokenStore`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def tokens(self, *, ended_after: datetime | None = None) -> list[StoredToken]:
        """See :meth:`TokenStore.tokens <tk_analytics_mw.storage.tokens.TokenStore.tokens>`."""
        moment = 0.0 if ended_after is None else ended_after.timestamp()
        with self._connections.reading() as snapshot:
            rows = snapshot.execute(
                f"SELECT {_COLUMNS} FROM tokens "  # noqa: S608 - fixed words
                "WHERE coalesce(revoked_at, 9e99) > ? AND coalesce(expires_at, 9e99) > ? ORDER BY created_at, id",
                (moment, moment),
            ).fetchall()
        return [_token(row) for row in rows]

    def add(self, token: StoredToken, *, ending: StoredToken | None = None) -> None:
        """See :meth:`TokenStore.add <tk_analytics_mw.storage.tokens.TokenStore.add>`."""
        with self._connections.transaction() as connection:
            live = f"SELECT count(*) FROM tokens WHERE {_LIVE}"  # noqa: S608 - fixed words
            if connection.execute(live, (token.created_at.timestamp(),)).fetchone()[0] >= MAX_LIVE:
                raise ConfigurationError(f"there are {MAX_LIVE:,} live tokens; for more, write an authenticator")
            connection.execute(
                f"INSERT INTO tokens ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    token.id,
                    token.digest,
                    token.kind,
                    token.org_id,
                    json.dumps(token.domains),
                    token.label,
                    token.created_at.timestamp(),
                    _seconds(token.expires_at),
                    _seconds(token.revoked_at),
                    None if token.last_used is None else token.last_used.isoformat(),
                    token.rotated_from,
                ),
            )
            if ending is not None:
                connection.execute(
                    "UPDATE tokens SET expires_at = ? WHERE id = ?", (_seconds(ending.expires_at), ending.id)
                )

    def revoke(self, ids: Sequence[str], *, now: datetime) -> int:
        """See :meth:`TokenStore.revoke <tk_analytics_mw.storage.tokens.TokenStore.revoke>`."""
        moment = now.timestamp()
        with self._connections.transaction() as connection:
            return connection.executemany(
                f"UPDATE tokens SET revoked_at = ? WHERE id = ? AND {_LIVE}",  # noqa: S608 - fixed words
                [(moment, id_, moment) for id_ in ids],
            ).rowcount

    def note_use(self, id_: str, day: date) -> None:
        """See :meth:`TokenStore.note_use <tk_analytics_mw.storage.tokens.TokenStore.note_use>`."""
        text = day.isoformat()
        with self._connections.transaction() as connection:
            connection.execute(
                "UPDATE tokens SET last_used = ? WHERE id = ? AND coalesce(last_used, '') < ?", (text, id_, text)
            )


def _token(row: Sequence[Any]) -> StoredToken:
    id_, digest, kind, org_id, domains, label, created_at, expires_at, revoked_at, last_used, rotated_from = row
    return StoredToken(
        id=id_,
        digest=digest,
        kind=kind,
        org_id=org_id,
        domains=tuple(json.loads(domains)),
        label=label,
        created_at=datetime.fromtimestamp(created_at, timezone.utc),
        expires_at=_moment(expires_at),
        revoked_at=_moment(revoked_at),
        last_used=None if last_used is None else date.fromisoformat(last_used),
        rotated_from=rotated_from,
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
