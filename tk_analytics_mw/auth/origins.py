"""Allowed domains: which web pages a public token may be used from.

A rule is ``[scheme://]host[:port]``. The host is exact, or ``*.host`` for one or more labels below
it: never the host itself, never another host that ends alike. Without a port the scheme's own port
is meant, without a scheme both http and https. Everything else about an origin is refused rather
than interpreted: user-info, paths, trailing dots, letters outside ASCII, ``null``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

import idna

from tk_analytics_mw.errors import ConfigurationError

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])"
_ORIGIN = re.compile(rf"(https?)://({_HOST})(?::([0-9]{{1,5}}))?")
_RULE = re.compile(rf"(?:(https?)://)?(\*\.)?({_HOST})(?::([0-9]{{1,5}}))?/?")
_DEFAULT_PORT: Final = {"http": 80, "https": 443}

MAX_ORIGIN: Final = 300
"""Characters: a host name has at most 253."""


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


class _Rule(NamedTuple):
    scheme: str | None
    host: str
    below: bool
    port: int | None

    def matches(self, origin: _Origin) -> bool:
        if self.scheme is not None and self.scheme != origin.scheme:
            return False
        if origin.port != (self.port or _DEFAULT_PORT[origin.scheme]):
            return False
        return origin.host.endswith("." + self.host) if self.below else origin.host == self.host


def _parse_origin(text: str) -> _Origin | None:
    if len(text) > MAX_ORIGIN or not text.isascii():
        return None
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    return _Origin(scheme, host, int(port) if port else _DEFAULT_PORT[scheme])


def _parse_rule(text: str) -> _Rule:
    rule = text.strip().lower()
    if not rule.isascii():
        rule = _to_ascii(rule)
    match = _RULE.fullmatch(rule)
    if match is None:
        raise ConfigurationError(
            f"{text!r} is not a domain: write a host ('shop.example.com'), a host and port ('localhost:5000'), "
            "or '*.example.com' for every host below it"
        )
    scheme, wildcard, host, port = match.groups()
    if wildcard and "." not in host:
        raise ConfigurationError(f"{text!r} would allow a whole top-level domain: name the domain below it")
    if wildcard and (host.startswith("[") or host.replace(".", "").isdigit()):
        raise ConfigurationError(f"{text!r}: an IP address has nothing below it")
    return _Rule(scheme, host, wildcard is not None, int(port) if port else None)


def _to_ascii(rule: str) -> str:
    # Browsers send xn--… names. The idna package writes them as browsers do (UTS 46); the standard
    # library's codec would turn straße.de into another domain, strasse.de.
    head, slashes, rest = rule.rpartition("//")
    wildcard = "*." if rest.startswith("*.") else ""
    host, colon, port = rest.removeprefix("*.").partition(":")
    try:
        return f"{head}{slashes}{wildcard}{idna.encode(host, uts46=True).decode()}{colon}{port}"
    except idna.IDNAError as error:
        raise ConfigurationError(f"{rule!r} is not an internationalised domain name: {error}") from None


class Domains:
    """A set of domain rules.

    Args:
        rules: such as ``["shop.example.com", "*.example.org", "localhost:5000", "https://a.example"]``.

    Raises:
        ConfigurationError: a rule is not one.
    """

    def __init__(self, rules: Iterable[str]) -> None:
        if isinstance(rules, str):
            raise ConfigurationError(f"domains is a list of domains: write [{rules!r}]")
        self.rules = tuple(rules)
        if not all(isinstance(rule, str) for rule in self.rules):
            raise ConfigurationError("domains is a list of texts such as 'shop.example.com'")
        parsed = [_parse_rule(rule) for rule in self.rules]

        def allows(text: str) -> bool:
            origin = _parse_origin(text)
            return origin is not None and any(rule.matches(origin) for rule in parsed)

        # A shop has a handful of origins; the bound is for those who send others.
        self.allows = lru_cache(maxsize=256)(allows)
        """``allows(origin)``: whether the page of this ``Origin`` header is in one of the domains."""

    def __repr__(self) -> str:
        return f"Domains({list(self.rules)!r})"


@lru_cache(maxsize=256)
def domains_of(rules: tuple[str, ...]) -> Domains:
    """The :class:`Domains` of these rules, parsed once."""
    return Domains(rules)


def is_origin(text: str) -> bool:
    """Whether this is the origin of a web page, as browsers spell it."""
    return _parse_origin(text) is not None


def is_same_origin(origin: str, scheme: str, host: str) -> bool:
    """Whether a page of this origin is the host's own.

    Args:
        origin: as of an ``Origin`` header.
        scheme: of the request. ``http`` may be what a proxy speaks that the browser spoke ``https`` with: then an
            ``https`` page is its own too. The other way round it is not: anybody on the way can write an ``http`` page.
        host: the ``Host`` header.
    """
    page = _parse_origin(origin)
    if page is None or (page.scheme, scheme) == ("http", "https"):
        return False
    return page == _parse_origin(f"{page.scheme}://{host}")


def origin_of(url: str) -> str:
    """Cut a ``Referer`` down to its origin. What is no web address comes back as ``""``."""
    match = re.match(r"https?://[^/?#\\]*", url, re.IGNORECASE)
    return match[0] if match else ""
