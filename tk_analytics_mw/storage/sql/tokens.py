"""Tokens in an SQL database: the table ``tk_analytics_tokens``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.schema import tokens as table
from tk_analytics_mw.storage.tokens import MAX_LIVE, StoredToken


class SqlTokens:
    """See :class:`~tk_analytics_mw.storage.tokens.TokenStore`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def tokens(self, *, ended_after: datetime | None = None) -> list[StoredToken]:
        """See :meth:`TokenStore.tokens <tk_analytics_mw.storage.tokens.TokenStore.tokens>`."""
        statement = select(table).order_by(table.c.created_at, table.c.id)
        if ended_after is not None:
            for end in (table.c.revoked_at, table.c.expires_at):
                statement = statement.where(or_(end.is_(None), end > ended_after))
        with self._connections.reading() as connection:
            return [_token(row) for row in connection.execute(statement).mappings()]

    def add(self, token: StoredToken, *, ending: StoredToken | None = None) -> None:
        """See :meth:`TokenStore.add <tk_analytics_mw.storage.tokens.TokenStore.add>`."""
        live = select(func.count()).select_from(table).where(_is_live(token.created_at))
        try:
            with self._connections.writing() as connection:
                if connection.execute(live).scalar_one() >= MAX_LIVE:
                    raise ConfigurationError(f"there are {MAX_LIVE:,} live tokens; for more, write an authenticator")
                connection.execute(insert(table), {column.name: getattr(token, column.name) for column in table.c})
                if ending is not None:
                    connection.execute(
                        update(table).where(table.c.id == ending.id).values(expires_at=ending.expires_at)
                    )
        except IntegrityError as error:
            raise ConfigurationError(f"the token {token.id} is kept already") from error

    def revoke(self, ids: Sequence[str], *, now: datetime) -> int:
        """See :meth:`TokenStore.revoke <tk_analytics_mw.storage.tokens.TokenStore.revoke>`."""
        revoke = update(table).where(table.c.id.in_(ids), _is_live(now)).values(revoked_at=now)
        with self._connections.writing() as connection:
            return connection.execute(revoke).rowcount

    def note_use(self, id_: str, day: date) -> None:
        """See :meth:`TokenStore.note_use <tk_analytics_mw.storage.tokens.TokenStore.note_use>`."""
        earlier = or_(table.c.last_used.is_(None), table.c.last_used < day)
        with self._connections.writing() as connection:
            connection.execute(update(table).where(table.c.id == id_, earlier).values(last_used=day))


def _is_live(now: datetime) -> ColumnElement[bool]:
    return and_(table.c.revoked_at.is_(None), or_(table.c.expires_at.is_(None), table.c.expires_at > now))


def _token(row: Any) -> StoredToken:
    return StoredToken(**{**row, "digest": bytes(row["digest"]), "domains": tuple(row["domains"])})
