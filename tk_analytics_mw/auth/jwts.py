"""JSON Web Tokens: a host mints short-lived ones for its pages, or takes those of its identity provider."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from tk_analytics_mw.auth.base import Look, Principal
from tk_analytics_mw.auth.bearer import bearer_of, check_place
from tk_analytics_mw.auth.origins import domains_of
from tk_analytics_mw.errors import ConfigurationError, Refused
from tk_analytics_mw.messages import Request
from tk_analytics_mw.waiting import is_async

if TYPE_CHECKING:
    from tk_analytics_mw.auth.keys import Key

logger: Final = logging.getLogger("tk_analytics_mw.access")

MAX_TOKEN: Final = 8192
"""Characters: as long as a web server lets a header or a URL be."""

LEEWAY: Final = 10.0
"""Seconds by which clocks may differ."""

MAX_LEEWAY: Final = 300.0
"""Seconds; more would be a longer life, not a clock."""

MAX_NAME: Final = 100
"""Characters of a principal's name, which logs show."""

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")


class JWTAuthenticator:
    """Finds the principal that a signed token describes.

    A public one is sent as ``bearer_token`` in the query and works on its domains; a private one is sent as
    ``Authorization: Bearer`` and is refused in a browser. What is no such token, or names another issuer, is left to
    the next authenticator and the token lists; what is one and does not hold is refused.

    Without ``principal`` these claims describe it: ``org_id``; ``kind``, ``"public"`` (default) or ``"private"``;
    ``domains``, a list; ``name``, else ``sub``. ``exp`` and ``aud`` are required of every token, ``iss`` too if there
    is an ``issuer``.

    Args:
        keys: that verify tokens: a secret of 32 bytes or more, a public key (PEM or of ``cryptography``), a list of
            them while one replaces another, or a dict by ``kid``.
        jwks_url: where the issuer publishes its keys, instead. They are fetched when first needed, and again when
            they are 5 minutes old or a token names one that is not known, at most once in 10 seconds. If that fails
            they count for an hour; without any the answer is 503.
        algorithms: that tokens may be signed with, such as ``["ES256"]``. A token has no say in it.
        audience: one of these must be among a token's ``aud``.
        issuer: a token's ``iss``. Two authenticators are told apart by it.
        domains: of public tokens that have no claim ``domains``.
        leeway: seconds by which clocks may differ, 0 to 300.
        principal: given the claims, says who it is; ``None`` for nobody. A plain function.
        allow_private_in_query: accept private ones as ``bearer_token`` too. Access logs will hold them.

    Raises:
        ConfigurationError: one of these will not do, or the extra ``jwt`` is not installed.
    """

    def __init__(
        self,
        keys: Any = None,
        *,
        jwks_url: str | None = None,
        algorithms: Sequence[str],
        audience: str | Sequence[str],
        issuer: str | None = None,
        domains: Iterable[str] = (),
        leeway: float = LEEWAY,
        principal: Callable[[Mapping[str, Any]], Principal | None] | None = None,
        allow_private_in_query: bool = False,
    ) -> None:
        try:
            from tk_analytics_mw.auth.key_set import KeySet
            from tk_analytics_mw.auth.keys import check_algorithms, given_keys
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f'JWTAuthenticator needs {error.name}: pip install "tk_analytics_mw[jwt]"'
            ) from error
        if (keys is None) == (jwks_url is None):
            raise ConfigurationError("JWTAuthenticator: give keys, or a jwks_url")
        self._audience = (audience,) if isinstance(audience, str) else tuple(audience)
        if not self._audience or not all(isinstance(each, str) and each for each in self._audience):
            raise ConfigurationError("JWTAuthenticator: audience is what your tokens have in aud, not nothing")
        if not 0 <= leeway <= MAX_LEEWAY:
            raise ConfigurationError(f"JWTAuthenticator: leeway is 0 to {MAX_LEEWAY:g} seconds")
        if principal is not None and (not callable(principal) or is_async(principal)):
            raise ConfigurationError("JWTAuthenticator: principal is a plain function of the claims")
        if isinstance(domains, str):
            raise ConfigurationError(f"JWTAuthenticator: domains is a list: write [{domains!r}]")
        self._algorithms = check_algorithms(algorithms)
        self._issuer = issuer
        self._domains = tuple(domains)
        domains_of(self._domains)
        self._leeway = leeway
        self._principal = principal or self._described
        self._allow_private_in_query = allow_private_in_query
        self._keys: tuple[Key, ...] = ()
        self._key_set: KeySet | None = None
        if jwks_url is None:
            self._keys = given_keys(keys, self._algorithms)
        elif any(name.startswith("HS") for name in self._algorithms):
            raise ConfigurationError("JWTAuthenticator: a secret (HS…) is not published: jwks_url is for key pairs")
        else:
            self._key_set = KeySet(jwks_url, self._algorithms)
        self.immediate = principal is None  # the host's own function may ask a database

    def authenticate(self, request: Request) -> Principal | None | Look:
        """Say whom the request's token describes.

        Raises:
            Refused: it is a token, and does not hold.
        """
        bearer = bearer_of(request)
        if bearer is None or len(bearer.text) > MAX_TOKEN or _SHAPE.fullmatch(bearer.text) is None:
            return None
        header = self._header(bearer.text)
        if header is None:
            return None
        keys = self._keys_for(header)
        if isinstance(keys, Look):
            return keys
        claims = self._claims(bearer.text, header["alg"], keys, request)
        principal = self._principal(claims)
        if principal is None:
            return None
        if not isinstance(principal, Principal):
            raise TypeError(f"principal returned a {type(principal).__name__}: return a Principal, or None")
        request.principal = principal
        check_place(
            principal,
            bearer,
            allow_private_in_query=self._allow_private_in_query,
            switch="allow_private_in_query of the JWTAuthenticator",
        )
        return principal

    def _header(self, text: str) -> Mapping[str, Any] | None:
        """Read what tells whose token this is and which key it takes. PyJWT judges all of it again."""
        first, second, _ = text.split(".")
        header = _header(first)
        if header is None or not isinstance(header.get("alg"), str):
            return None
        if self._issuer is not None and (_read(second) or {}).get("iss") != self._issuer:
            return None
        return header

    def _keys_for(self, header: Mapping[str, Any]) -> list[Key] | Look:
        from tk_analytics_mw.auth.keys import matching

        algorithm, kid = header["alg"], header.get("kid")
        # crit names extensions that must be understood (RFC 7515, 4.1.11): none is.
        if algorithm not in self._algorithms or "crit" in header or "b64" in header:
            raise _invalid("its header")
        if kid is not None and not isinstance(kid, str):
            raise _invalid("its kid")
        found = matching(self._keys, kid, algorithm) if self._key_set is None else self._key_set.find(kid, algorithm)
        if not found:
            raise _invalid("unknown key")
        return found

    def _claims(self, text: str, algorithm: str, keys: Sequence[Key], request: Request) -> Mapping[str, Any]:
        import jwt

        why = "its signature"
        for key in keys:
            try:
                return self._decoded(text, algorithm, key)
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                self._note_expired(text, algorithm, key, request)
                raise Refused("The token has expired.", reason="expired token") from None
            except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
                why = type(error).__name__
        raise _invalid(why)

    def _decoded(self, text: str, algorithm: str, key: Key, **options: Any) -> dict[str, Any]:
        import jwt

        required = ["exp", "aud", *(() if self._issuer is None else ("iss",))]
        wanted: Any = {"require": required, **options}
        return jwt.decode(
            text,
            key.key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=self._leeway,
            options=wanted,
        )

    def _note_expired(self, text: str, algorithm: str, key: Key, request: Request) -> None:
        """Let the list of refusals know whose it was."""
        import jwt

        try:
            request.principal = self._principal(self._decoded(text, algorithm, key, verify_exp=False))
        except (jwt.PyJWTError, Refused, ValueError, TypeError):
            return

    def _described(self, claims: Mapping[str, Any]) -> Principal:
        org_id, kind, domains = claims.get("org_id"), claims.get("kind", "public"), claims.get("domains")
        if not isinstance(org_id, str) or not org_id.strip():
            raise _invalid("org_id")
        if kind not in ("public", "private"):
            raise _invalid("kind")
        if domains is None:
            domains = self._domains
        try:
            rules = domains_of(tuple(domains)).rules
        except (ConfigurationError, TypeError):
            raise _invalid("domains") from None
        name = claims.get("name") or claims.get("sub")
        shown = name if isinstance(name, str) and name.isprintable() else "jwt"
        return Principal(org_id, kind, rules if kind == "public" else (), shown[:MAX_NAME])


def _read(segment: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_header = lru_cache(maxsize=64)(_read)  # an issuer writes the same one into all of its tokens


def _invalid(why: str) -> Refused:
    logger.info("a JSON Web Token was refused: %s", why)
    return Refused("The token is not valid.", reason="invalid token")
