"""What was refused or dropped, and why: what people ask first when events do not arrive.

A refusal costs a count in memory. What a process has gathered is written by whoever comes next: a write of events,
or the answer to a refused request once it is out, every few seconds at most. Nothing that a client sends can make it
more than that, or more than so many lines.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, Final

from tk_analytics_mw.auth.origins import is_origin
from tk_analytics_mw.errors import Drop, InvalidEvent, ReadTooLong, Refused, Reject, StorageUnavailable
from tk_analytics_mw.messages import Request
from tk_analytics_mw.storage.refusals import OTHER, SAMPLES, Refusal, RefusalStore, Sample
from tk_analytics_mw.waiting import Waits

logger: Final = logging.getLogger("tk_analytics_mw.refusals")

WRITE_EVERY: Final = 5.0
"""Seconds between two writes of one process."""

AGAIN_AFTER: Final = 60.0
"""Seconds after one that failed: when the database cannot be written to, refusals are many."""

MOST: Final = 500
"""Different refusals gathered by one process between two writes."""

MAX_TEXT: Final = 100
"""Characters of a reason or a path."""

_BY_STATUS: Final = {
    400: "bad request",
    401: "not authorised",
    403: "not allowed",
    404: "no such path",
    405: "wrong method",
    411: "length unknown",
    413: "too large",
    415: "content encoding",
    422: "invalid value",
    429: "too many requests",
    501: "not supported",
    503: "unavailable",
}


_BY_KIND: Final = {Reject: "rejected by the host", StorageUnavailable: _BY_STATUS[503], ReadTooLong: "took too long"}

_Key = tuple[str, str, str, str]  # of a Refusal
_Sample = tuple[float, _Key, str]  # seconds since 1970, and the path


class Refusals:
    """Gathers the refusals of one application.

    Args:
        store: where to; ``None`` if the storage cannot remember them.
        clock: seconds, monotonic.
    """

    def __init__(self, store: RefusalStore | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._clock = clock
        self._gathered: dict[int, _Gathered] = {}  # by process: a child has no part in what its parent gathered

    def note(self, error: Exception, request: Request | None, *, org_id: str = "") -> bool:
        """Note that a request, or one of its events, was refused or dropped.

        Args:
            error: why.
            request: ``None`` for an event of host code.
            org_id: whose it was, where there is no request.

        Returns:
            Whether it is time to :meth:`write`.
        """
        if self.store is None:
            return False
        token = origin = ""
        if request is not None:
            origin = _origin(request.header(b"origin"))
            if request.principal is not None:
                org_id, token = request.principal.org_id, request.principal.name
        # Plain tuples: what is made for each refusal is to cost an attacked shop little.
        gathered = self._gathered.get(os.getpid()) or self._own()
        gathered.add((org_id, token, reason_of(error), origin), time.time(), _path(error))
        return self._clock() >= gathered.due

    def write(self) -> None:
        """Write down what was gathered, if there is anything and it is time. It may block."""
        gathered = self._gathered.get(os.getpid())
        if gathered is not None and gathered.counts and self._clock() >= gathered.due:
            self.write_now()

    def write_now(self) -> None:
        """Write down what was gathered. It may block."""
        gathered = self._own()
        if self.store is None or not gathered.writing.acquire(blocking=False):
            return
        try:
            gathered.due = self._clock() + WRITE_EVERY
            counts, samples = gathered.take()
            if counts:
                try:
                    self.store.add(
                        datetime.now(timezone.utc).date(),
                        {Refusal(*key): number for key, number in counts.items()},
                        [
                            Sample(datetime.fromtimestamp(moment, timezone.utc), Refusal(*key), path)
                            for moment, key, path in samples
                        ],
                    )
                except StorageUnavailable as error:
                    logger.warning("refusals could not be written: %s", error)
                    gathered.due = self._clock() + AGAIN_AFTER
                    gathered.give_back(counts, samples)
        finally:
            gathered.writing.release()

    def close(self) -> None:
        """Write down what this process has gathered, if anything."""
        gathered = self._gathered.get(os.getpid())
        if gathered is not None and gathered.counts:
            self.write_now()

    async def write_later(self, waits: Waits) -> None:
        """:meth:`write`, when an answer is out: it never raises."""
        try:
            await waits.read(self.write)
        except Exception:
            logger.exception("refusals could not be written")

    def _own(self) -> _Gathered:
        return self._gathered.get(os.getpid()) or self._gathered.setdefault(os.getpid(), _Gathered())


class _Gathered:
    """What one process has gathered since the last write."""

    def __init__(self) -> None:
        self.counts: Counter[_Key] = Counter()
        self.due = float("-inf")
        self.writing = threading.Lock()
        self._samples: dict[str, deque[_Sample]] = {}  # by organisation: none can push out those of another
        self._mutex = threading.Lock()

    def add(self, key: _Key, moment: float, path: str) -> None:
        with self._mutex:
            samples = self._samples.get(key[0])
            if samples is None:
                samples = deque(maxlen=SAMPLES)
                if len(self._samples) < MOST:
                    self._samples[key[0]] = samples
            samples.append((moment, key, path))
            self._count(key, 1)

    def _count(self, key: _Key, number: int) -> None:
        if len(self.counts) >= MOST and key not in self.counts:
            key = (key[0], OTHER, key[2], OTHER)
        self.counts[key] += number

    def take(self) -> tuple[Counter[_Key], list[_Sample]]:
        with self._mutex:
            counts, self.counts = self.counts, Counter()
            samples, self._samples = self._samples, {}
        return counts, [sample for each in samples.values() for sample in each]

    def give_back(self, counts: Counter[_Key], samples: list[_Sample]) -> None:
        with self._mutex:
            for key, number in counts.items():
                self._count(key, number)
            for sample in reversed(samples):
                kept = self._samples.setdefault(sample[1][0], deque(maxlen=SAMPLES))
                if len(kept) < SAMPLES:
                    kept.appendleft(sample)


def reason_of(error: Exception) -> str:
    """In a few fixed words, why a request was refused."""
    if isinstance(error, Refused):
        return (error.reason or _BY_STATUS.get(error.status, "refused"))[:MAX_TEXT]
    if isinstance(error, InvalidEvent):
        return _BY_STATUS[422]
    if isinstance(error, Drop):
        return f"dropped: {error.reason}"[:MAX_TEXT]
    return next((reason for kind, reason in _BY_KIND.items() if isinstance(error, kind)), "failed")


def _path(error: Exception) -> str:
    if not isinstance(error, InvalidEvent) or not error.errors:
        return ""
    first: Any = error.errors[0]
    loc = first["loc"][:1] if first["type"] == "extra_forbidden" else first["loc"]  # a name that the client made up
    return ".".join(map(str, loc))[:MAX_TEXT]


@lru_cache(maxsize=256)
def _origin(header: str | None) -> str:
    if not header:
        return ""
    return header.lower() if is_origin(header) else "(malformed)"
