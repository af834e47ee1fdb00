"""The keys that an issuer of tokens publishes at a URL, as this process knows them.

They are fetched when first needed and every few minutes. Whatever tokens are sent, no more than one request goes out
in :data:`RETRY` seconds.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from tk_analytics_mw.auth.base import Look
from tk_analytics_mw.auth.keys import Key, matching, published_keys
from tk_analytics_mw.errors import ConfigurationError, Refused

logger: Final = logging.getLogger("tk_analytics_mw.access")

FRESH: Final = 300.0
"""Seconds for which the keys count without a question. A key that is taken back counts no longer than this."""

STALE: Final = 3600.0
"""Seconds for which they count if the issuer cannot be asked."""

RETRY: Final = 10.0
"""Seconds at least between two requests, however many tokens name a key that is not known."""

TIMEOUT: Final = 3.0
"""Seconds that the issuer has for its answer."""

MAX_BYTES: Final = 262_144
"""Of a key set: a key has some 500."""

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class KeySet:
    """The keys at a URL.

    Args:
        url: of a JSON Web Key Set. ``https``, or ``http`` on this machine: who can change it on its way gets in.
        algorithms: that keys may be used for.
        clock: seconds, monotonic.

    Raises:
        ConfigurationError: the URL will not do.
    """

    def __init__(self, url: str, algorithms: frozenset[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        parts = urlsplit(url)
        if not parts.hostname or (
            parts.scheme != "https" and (parts.scheme, parts.hostname in _LOOPBACK) != ("http", True)
        ):
            raise ConfigurationError("JWTAuthenticator: jwks_url is an https address")
        self._url = url
        self._algorithms = algorithms
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._fetched_at = self._claimed_at = self._failed_at = float("-inf")
        self._locks: dict[int, threading.Lock] = {}  # by process: one held during a fork stays held in the child

    def find(self, kid: str | None, algorithm: str) -> list[Key] | Look:
        """Give the keys for a token with this header; none if the issuer has none.

        Raises:
            Refused: with 503, that cannot be known now.
        """
        now, found = self._clock(), matching(self._keys, kid, algorithm)
        age = now - self._fetched_at
        if age <= (FRESH if found else RETRY):
            return found
        usable = found and age <= STALE
        if now - self._failed_at < RETRY or (now - self._claimed_at < RETRY and age <= STALE):
            if usable:
                return found
            raise Refused.for_now("The token cannot be checked now")
        # One request asks; those with a known key go on meanwhile. Without any keys yet, all of them wait for it.
        self._claimed_at = now
        return Look(self.refresh)

    def refresh(self) -> None:
        """Fetch the keys, if it is time. It may block for :data:`TIMEOUT` seconds.

        Whether it went well :meth:`find` knows.
        """
        lock = self._locks.get(os.getpid()) or self._locks.setdefault(os.getpid(), threading.Lock())
        if not lock.acquire(timeout=2 * TIMEOUT):
            raise Refused.for_now("The token cannot be checked now")
        try:
            now = self._clock()
            if now - max(self._fetched_at, self._failed_at) < RETRY:
                return
            try:
                self._keys = published_keys(fetch(self._url), self._algorithms)
                self._fetched_at = self._clock()
            except (OSError, ValueError, RecursionError) as error:
                self._failed_at = self._clock()
                logger.warning("the keys at %s cannot be fetched: %s", urlsplit(self._url).hostname, error)
        finally:
            lock.release()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_opener: Final = urllib.request.build_opener(_NoRedirect)


def fetch(url: str) -> Any:
    """GET a JSON document.

    Raises:
        OSError: there is no answer in time, or not 200.
        ValueError: it is no JSON, or too large.
    """
    deadline = time.monotonic() + TIMEOUT
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "tk_analytics_mw"})  # noqa: S310 - checked
    with _opener.open(request, timeout=TIMEOUT) as response:
        body = bytearray()
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError(f"it has more than {MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError("it takes too long")
    return json.loads(bytes(body))
