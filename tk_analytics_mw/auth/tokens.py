"""Tokens that the host lists in its settings, and what is asked of a request that carries one.

Only their SHA-256 is kept: a token of 128 random bits needs no slow hash, and what is not there can
be neither logged nor dumped.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Final

from tk_analytics_mw.auth.base import Look, Principal
from tk_analytics_mw.auth.bearer import bearer_of, check_place
from tk_analytics_mw.auth.origins import Domains, domains_of
from tk_analytics_mw.auth.stored import Known, StoredTokens
from tk_analytics_mw.errors import ConfigurationError, Refused
from tk_analytics_mw.messages import Request

MAX_TOKEN: Final = 512
"""Characters; longer ones are nobody's, and not worth hashing."""


_TOKEN = re.compile(rf"[\x21-\x7e]{{1,{MAX_TOKEN}}}")


def digest_of(token: str) -> bytes:
    """SHA-256 of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class _Token:
    """What both kinds share: the digest, the principal it stands for, and its end."""

    __slots__ = ("digest", "expires_at", "principal")
    revoked = False  # what is listed is not: one takes it off the list

    def __init__(self, token: str, principal: Principal, name: str | None, expires_at: datetime | None) -> None:
        label = type(self).__name__
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise ConfigurationError(
                f"{label}: the token is a text of 1 to {MAX_TOKEN} visible ASCII characters, no blanks or line ends"
            )
        if not isinstance(principal.org_id, str) or not principal.org_id.strip():
            raise ConfigurationError(f"{label}: org_id is the ID of an organisation")
        if expires_at is not None and (not isinstance(expires_at, datetime) or expires_at.tzinfo is None):
            raise ConfigurationError(f"{label}: expires_at is a datetime with a time zone, such as timezone.utc")
        self.digest = digest_of(token)
        self.expires_at = expires_at
        self.principal = Principal(
            org_id=principal.org_id,
            kind=principal.kind,
            domains=principal.domains,
            name=name or f"{principal.kind}-{self.digest.hex()[:8]}",
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.principal.name} of {self.principal.org_id}>"


class PublicToken(_Token):
    """A token that a shop's pages carry. It can only create events, and only from its domains.

    Args:
        token: the text the page sends as ``bearer_token``. It is not kept, only its SHA-256.
        org_id: the organisation whose events it creates.
        domains: where it may be used from: ``"shop.example.com"`` (exactly), ``"localhost:5000"``
            (with that port), ``"*.example.org"`` (every host below), each with ``https://`` before it if
            that scheme alone is meant.
        name: how logs and reports call it. Default: ``public-`` and eight digits of its SHA-256.
        expires_at: from then on it is refused. Give a time zone. Default: never.

    Raises:
        ConfigurationError: one of these is not what it must be.
    """

    __slots__ = ()

    def __init__(
        self,
        token: str,
        *,
        org_id: str,
        domains: Iterable[str],
        name: str | None = None,
        expires_at: datetime | None = None,
    ) -> None:
        if isinstance(domains, str):
            raise ConfigurationError(f"PublicToken: domains is a list: write [{domains!r}]")
        rules = tuple(domains)
        if not rules:
            raise ConfigurationError("PublicToken: a public token without domains could be used nowhere: name them")
        domains_of(rules)
        super().__init__(token, Principal(org_id, "public", rules), name, expires_at)


class PrivateToken(_Token):
    """A secret of a server. It can do everything for its organisation, and is refused in a browser.

    Args:
        token: the text sent as ``Authorization: Bearer …``. It is not kept, only its SHA-256.
        org_id: the organisation it speaks for.
        name: how logs and reports call it. Default: ``private-`` and eight digits of its SHA-256.
        expires_at: from then on it is refused. Give a time zone. Default: never.

    Raises:
        ConfigurationError: one of these is not what it must be.
    """

    __slots__ = ()

    def __init__(self, token: str, *, org_id: str, name: str | None = None, expires_at: datetime | None = None) -> None:
        super().__init__(token, Principal(org_id, "private"), name, expires_at)


class TokenAuthenticator:
    """Finds the principal of a token.

    Args:
        tokens: the listed ones.
        stored: further ones, that the storage keeps.
        allow_private_in_query: accept a private token as ``bearer_token`` too.
    """

    def __init__(
        self,
        tokens: Iterable[PublicToken | PrivateToken],
        *,
        stored: StoredTokens | None = None,
        allow_private_in_query: bool = False,
    ) -> None:
        self._tokens: dict[bytes, PublicToken | PrivateToken] = {}
        for token in tokens:
            other = self._tokens.setdefault(token.digest, token)
            if other.principal != token.principal:
                raise ConfigurationError(f"tokens: {other!r} and {token!r} are one token: only one of them could count")
        self._stored = stored
        self._domains = Domains(rule for token in self._tokens.values() for rule in token.principal.domains)
        self._allow_private_in_query = allow_private_in_query

    def authenticate(self, request: Request, *, looked: bool = False) -> Principal | Look | None:
        """Look at ``bearer_token`` in the query first, then at ``Authorization: Bearer``.

        Args:
            request: whose ``principal`` becomes that of the token, even if it is refused.
            looked: the :class:`Look` that this gave before has been taken.

        Raises:
            Refused: a token that does not count, or not there where it is.
        """
        bearer = bearer_of(request)
        if bearer is None:
            return None
        principal = self._principal(bearer.text, request, looked)
        if isinstance(principal, Principal):
            check_place(
                principal,
                bearer,
                allow_private_in_query=self._allow_private_in_query,
                switch="The setting allow_private_token_in_query",
            )
        return principal

    def allows(self, origin: str) -> bool:
        """Whether any public token may be used on the pages of this origin."""
        return self._domains.allows(origin) or (self._stored is not None and self._stored.allows(origin))

    def admit(self, token: PrivateToken) -> None:
        """Let a further token count, in this process."""
        self._tokens[token.digest] = token

    def _principal(self, text: str, request: Request, looked: bool) -> Principal | Look | None:
        if len(text) > MAX_TOKEN:
            return None
        digest = digest_of(text)
        token: PublicToken | PrivateToken | Known | Look | None = self._tokens.get(digest)
        if token is None and self._stored is not None:
            token = self._stored.find(text, digest, looked=looked)
        if token is None or isinstance(token, Look):
            return token
        if not hmac.compare_digest(token.digest, digest):
            return None
        request.principal = token.principal
        if token.revoked:
            raise Refused("The token has been revoked.", reason="revoked token")
        if token.expires_at is not None and token.expires_at <= datetime.now(timezone.utc):
            raise Refused("The token has expired.", reason="expired token")
        return token.principal
