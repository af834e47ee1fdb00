"""Tokens that the storage keeps: how one is made, and how a process knows them all.

A process reads the live tokens together, at most once a second, and goes by what it read for some seconds. So a
request with a known token costs what one with a listed token does, and one with an unknown token cannot make the
database work, however many are sent: there is nothing to look up but what was read.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import string
import threading
import time
import zlib
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Final, Literal, NamedTuple

from tk_analytics_mw.auth.base import Principal
from tk_analytics_mw.auth.origins import Domains
from tk_analytics_mw.errors import ReadTooLong, Refused, StorageUnavailable
from tk_analytics_mw.storage.tokens import TokenStore

logger: Final = logging.getLogger("tk_analytics_mw.access")

FRESH: Final = 10.0
"""Seconds for which a process goes by what it has read."""

STALE: Final = 25.0
"""Seconds after which it does so no longer, even if it cannot read again: what was revoked is refused within 30 s."""

READ_EVERY: Final = 1.0
"""Seconds at least between two reads, however many unknown tokens are sent: how soon a new one is known."""

REMEMBERED: Final = timedelta(days=7)
"""For so long one that has ended is refused as such; then it is unknown."""

PREFIXES: Final = {"public": "tka_pub_", "private": "tka_prv_"}
"""By which people, and programs that look for leaked secrets, know ours."""

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM: Final = 32  # characters, 190 bits: no slow hash is needed
_CHECKSUM: Final = 6  # characters: CRC-32, so that a mistyped token is known for one without a look
_SHAPE = re.compile(rf"tka_(?:pub|prv)_[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}")


def new_token(kind: Literal["public", "private"]) -> str:
    """Make the text of a token."""
    body = PREFIXES[kind] + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return body + _checksum(body)


def is_well_formed(text: str) -> bool:
    """Whether ``text`` can be a token of ours at all. It takes 2 µs, and nobody is asked."""
    return _SHAPE.fullmatch(text) is not None and text[-_CHECKSUM:] == _checksum(text[:-_CHECKSUM])


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


class Known(NamedTuple):
    """What a request needs of a token."""

    id: str
    digest: bytes
    principal: Principal
    expires_at: datetime | None
    revoked: bool


class Look(NamedTuple):
    """It takes a look into the storage to say whose token this is. Then ask again."""

    tokens: StoredTokens
    digest: bytes

    def take(self) -> None:
        """Take it, where one may wait. See :meth:`StoredTokens.look`."""
        self.tokens.look(self.digest)


class StoredTokens:
    """The stored tokens, as this process knows them.

    Args:
        store: that keeps them.
        clock: seconds, monotonic.
    """

    def __init__(self, store: TokenStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[bytes, Known] = {}
        self._unnoted: set[bytes] = set()  # those of which it is not known that they were used today
        self._read_at = float("-inf")
        self._failed_at = float("-inf")
        self._reading = False
        self._domains = Domains(())
        self._locks: dict[int, threading.Lock] = {}  # by process: one held during a fork stays held in the child

    def find(self, text: str, digest: bytes, *, looked: bool) -> Known | Look | None:
        """Give what is known of this token.

        Args:
            text: of the token.
            digest: its SHA-256.
            looked: a look has been taken: what is known now is what there is.
        """
        known = self._known.get(digest)
        if known is None and not is_well_formed(text):
            return None
        if looked:
            return known
        age = self._clock() - self._read_at
        if known is None:
            return Look(self, digest) if age > READ_EVERY else None
        # One request takes the look, the others go on meanwhile.
        if age > FRESH and (not self._reading or age > STALE):
            self._reading = True
            return Look(self, digest)
        return Look(self, digest) if digest in self._unnoted else known

    def look(self, digest: bytes) -> None:
        """Read the tokens again if it is time, and note that this one is used today. It may block.

        Raises:
            Refused: with 503, the storage cannot be asked, and what was read is too old.
        """
        lock = self._locks.get(os.getpid()) or self._locks.setdefault(os.getpid(), threading.Lock())
        with lock:
            now = self._clock()
            age = now - self._read_at
            if age > FRESH or (age > READ_EVERY and digest not in self._known):
                # A database that is in trouble is left alone for a while.
                has_read = now - self._failed_at > READ_EVERY and self._try_to_read()
                if not has_read and (age > STALE or digest not in self._known):
                    raise Refused(
                        "The token cannot be checked now: try again.", status=503, headers={"Retry-After": "1"}
                    )
        self._note_use(digest)

    def _try_to_read(self) -> bool:
        try:
            self._read()
        except (StorageUnavailable, ReadTooLong) as error:
            self._failed_at = self._clock()
            logger.warning("the tokens cannot be read: %s", error)
            return False
        finally:
            self._reading = False
        return True

    def _note_use(self, digest: bytes) -> None:
        known = self._known.get(digest)
        if known is None or digest not in self._unnoted:
            return
        self._unnoted.discard(digest)
        try:
            self._store.note_use(known.id, _today())
        except StorageUnavailable as error:
            logger.warning("the use of token %s could not be noted: %s", known.id, error)

    def allows(self, origin: str) -> bool:
        """Whether a stored public token may be used on the pages of this origin, as far as is known."""
        return self._domains.allows(origin)

    def _read(self) -> None:
        began, now, today = self._clock(), datetime.now(timezone.utc), _today()
        found = self._store.tokens(ended_after=now - REMEMBERED)
        self._unnoted = {token.digest for token in found if token.last_used != today and token.is_live(now)}
        self._known = {
            token.digest: Known(
                token.id,
                token.digest,
                Principal(token.org_id, token.kind, token.domains, token.id),
                token.expires_at,
                token.revoked_at is not None,
            )
            for token in found
        }
        rules = tuple(dict.fromkeys(rule for token in found for rule in token.domains))
        if rules != self._domains.rules:
            self._domains = Domains(rules)
        self._read_at = began


def _today() -> date:
    return datetime.now(timezone.utc).date()
