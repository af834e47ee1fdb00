"""Keys that verify JSON Web Tokens, each with the algorithms it may be used for.

Needs PyJWT.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import jwt
from jwt.algorithms import Algorithm, get_default_algorithms

from tk_analytics_mw.errors import ConfigurationError

HMAC_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Bytes that a secret has at least (RFC 7518, 3.2). A page's token can be read by everybody, and who has one can try
out secrets as fast as their machine goes."""

RSA_BITS: Final = 2048
"""RFC 7518, 3.3."""

MAX_KEYS: Final = 8
"""That may verify one token: one that names no key is tried with each."""


class Key(NamedTuple):
    """A key, as PyJWT wants it."""

    kid: str | None
    """Its name, if it has one."""
    algorithms: frozenset[str]
    key: Any


def check_algorithms(names: Iterable[str]) -> frozenset[str]:
    """Check what tokens may be signed with.

    Raises:
        ConfigurationError: there is none, one is unknown or ``none``, or a public key could pass for a secret.
    """
    algorithms = frozenset([names] if isinstance(names, str) else names)
    known = get_default_algorithms().keys() - {"none"}
    if not algorithms or not algorithms <= known:
        raise ConfigurationError(f"JWTAuthenticator: algorithms are some of {', '.join(sorted(known))}")
    if algorithms & HMAC_BYTES.keys() and not algorithms <= HMAC_BYTES.keys():
        raise ConfigurationError(
            "JWTAuthenticator: algorithms of secrets (HS…) and of key pairs (RS…, ES…) do not go together, or what is "
            "signed with the public key would pass: make two authenticators"
        )
    return algorithms


def given_keys(keys: Any, algorithms: frozenset[str]) -> tuple[Key, ...]:
    """Take in keys that the host gives: one, several, or several by their names.

    Raises:
        ConfigurationError: one of them fits no algorithm, is too weak, or there are too many.
    """
    named: list[tuple[str | None, Any]]
    if isinstance(keys, Mapping):
        named = [(str(kid), key) for kid, key in keys.items()]
    else:
        several = isinstance(keys, Sequence) and not isinstance(keys, (str, bytes))
        named = [(None, key) for key in (keys if several else [keys])]
    if not named or (named[0][0] is None and len(named) > MAX_KEYS):
        raise ConfigurationError(f"JWTAuthenticator: give 1 to {MAX_KEYS} keys, or more of them by their kid")
    made = []
    for kid, key in named:
        prepared = _prepared(key, algorithms)
        if prepared is None:
            raise ConfigurationError(
                "JWTAuthenticator: a key fits none of the algorithms, or is weak: "
                f"secrets have {HMAC_BYTES['HS256']} bytes at least, RSA keys {RSA_BITS} bits"
            )
        made.append(Key(kid, *prepared))
    return tuple(made)


def published_keys(document: Any, algorithms: frozenset[str]) -> tuple[Key, ...]:
    """Read a JSON Web Key Set. What cannot serve here is left out: other uses, other algorithms, weak keys.

    Raises:
        ValueError: it is none.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is no JSON Web Key Set")
    made = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
            continue
        named = entry.get("alg")
        wanted = algorithms if named is None else algorithms.intersection([named] if isinstance(named, str) else [])
        if not wanted:
            continue
        try:
            key = jwt.PyJWK(entry).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        prepared = _prepared(key, wanted)
        if prepared is not None:
            kid = entry.get("kid")
            made.append(Key(kid if isinstance(kid, str) else None, *prepared))
    return tuple(made)


def matching(keys: Iterable[Key], kid: str | None, algorithm: str) -> list[Key]:
    """The keys that a token with this header may be verified with."""
    found = [key for key in keys if algorithm in key.algorithms and (kid is None or key.kid in (None, kid))]
    return found[:MAX_KEYS]


def _prepared(key: Any, algorithms: frozenset[str]) -> tuple[frozenset[str], Any] | None:
    known = get_default_algorithms()
    prepared = {name: made for name in algorithms if (made := _for_algorithm(key, name, known[name])) is not None}
    return (frozenset(prepared), next(iter(prepared.values()))) if prepared else None


def _for_algorithm(key: Any, name: str, algorithm: Algorithm) -> Any:
    try:
        prepared = algorithm.prepare_key(key)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return None
    strength = len(prepared) if name in HMAC_BYTES else getattr(prepared, "key_size", 0)
    needed = HMAC_BYTES.get(name) or (RSA_BITS if name[:2] in ("RS", "PS") else 0)
    return prepared if strength >= needed else None
