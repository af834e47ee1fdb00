"""Event ids: UUIDv7 (RFC 9562), ordered by time.

Random ids as a primary key cost four to six times more per insert at a million rows, because each
lands on another page of the index; ids in the order of time land on the last one.
"""

from __future__ import annotations

import os
import random
import time
from datetime import datetime, timezone
from functools import lru_cache

# An id is no secret: its bits need not come from the kernel. A forked child begins a sequence of its own.
_random = random.Random()  # noqa: S311
_bits = _random.getrandbits

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_event_id() -> tuple[str, datetime]:
    """Make an id and the moment it stands for.

    Returns:
        The id in its canonical spelling, and its time in UTC at millisecond resolution, as the id holds it.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    # Formatted in this way it takes 0.4 µs, as an f-string 0.7 µs.
    id_ = "%08x-%04x-%04x-%04x-%012x" % (  # noqa: UP031
        milliseconds >> 16,
        milliseconds & 0xFFFF,
        # RFC 9562 section 6.2, method 3: the 12 bits behind the version hold the fraction of the millisecond
        # (1/4096 ms), so that the ids of one process follow one another.
        0x7000 | nanoseconds * 4096 // 1_000_000,
        0x8000 | _bits(14),
        _bits(48),
    )
    return id_, _moment(milliseconds)


@lru_cache(maxsize=1024)
def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


@lru_cache(maxsize=1024)  # asked for twice: for the answer, and for the storage
def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``, as the contract spells ``createdAt``."""
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def time_of(event_id: str) -> datetime:
    """The moment that an id stands for."""
    return _moment(int(event_id.replace("-", "")[:12], 16))


def first_event_id(moment: datetime) -> str:
    """The smallest id that an event of this moment can have: what is compared with ids to compare times."""
    digits = f"{int(moment.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"
