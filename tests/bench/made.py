"""Made data for the reads: shoppers' sessions over years, in the storage's own tables.

    python -m tests.bench.made FILE [--events N] [--sessions N]

The same arguments make the same rows. Sessions have the shape of a funnel, assets a long tail, days and weeks their
rhythm, and organisations unlike sizes; the largest holds three tenths of everything.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

from tk_analytics_mw.event_types import EventType
from tk_analytics_mw.storage.rows import COLUMNS
from tk_analytics_mw.storage.sqlite import SqliteStorage

UNTIL: Final = datetime(2026, 11, 1, tzinfo=timezone.utc)
"""The end of the made years."""
YEARS: Final = 3
EVENTS: Final = 10_000_000
SESSIONS: Final = 500_000
ASSETS: Final = 200
"""Of an organisation; the n-th is seen 1/n as often as the first."""
USERS: Final = 20_000
"""Of an organisation, who come back; three quarters of the sessions have no user."""
CHUNK: Final = 1_000
"""Sessions that are sorted by time together."""

_HOURS: Final = [3, 2, 1, 1, 1, 2, 4, 7, 10, 12, 13, 13, 12, 12, 13, 13, 14, 15, 17, 19, 20, 17, 12, 7]
_WEEKDAYS: Final = [10, 9, 9, 10, 11, 14, 15]
_DEVICES: Final = [
    # how often, device, type, family, system, browser
    (30, "PC / Windows 10 / Chrome 141.0.0", "pc", "Other", "Windows 10", "Chrome 141.0.0"),
    (24, "iPhone / iOS 18.6 / Mobile Safari 18.6", "mobile", "iPhone", "iOS 18.6", "Mobile Safari 18.6"),
    (18, "Samsung SM-S921B / Android 15 / Chrome Mobile 141.0.0", "mobile", "SM-S921B", "Android 15", "Chrome Mobile"),
    (10, "Mac / Mac OS X 10.15.7 / Safari 18.6", "pc", "Mac", "Mac OS X 10.15.7", "Safari 18.6"),
    (8, "PC / Windows 10 / Firefox 143.0", "pc", "Other", "Windows 10", "Firefox 143.0"),
    (5, "iPad / iOS 18.6 / Mobile Safari 18.6", "tablet", "iPad", "iOS 18.6", "Mobile Safari 18.6"),
    (3, "PC / Linux / Firefox 143.0", "pc", "Other", "Linux", "Firefox 143.0"),
    (2, "Spider / Other / Googlebot 2.1", "bot", "Spider", "Other", "Googlebot 2.1"),
]
_ATTRIBUTES: Final[dict[str, list[Any]]] = {
    "Fabric": ["Linen", "Velvet", "Wool", "Leather", "Cotton", "Bouclé", "Canvas", "Suede"],
    "Colour": [{"r": red, "g": green, "b": 90} for red in (20, 120, 220) for green in (40, 200)],
    "Legs": ["Oak", "Walnut", "Steel", "Brass"],
    "Size": [180, 200, 220, 240],
    "Armrests": [True, False],
    "Cushion": [{"assetId": f"5b1d7c9e-0000-4000-8000-00000000000{number}"} for number in range(6)],
}
_CAMPAIGNS: Final = ["spring", "summer", "autumn", "winter", "newsletter", "retargeting"]
_ORGANISATIONS: Final = (30, 25, 20, 15, 10)  # percent of the sessions

_HEAD = [
    f'"{name}":{json.dumps(value, separators=(",", ":"), ensure_ascii=False)}'
    for name, values in _ATTRIBUTES.items()
    for value in values
]
_NAMES = [name for name, values in _ATTRIBUTES.items() for _ in values]


class Organisation(NamedTuple):
    """Who is in the made data."""

    org_id: str
    assets: list[str]
    users: list[str]


def organisations(seed: int = 1) -> list[Organisation]:
    """The organisations, the largest first."""
    return [
        Organisation(
            _uuid(source := random.Random(f"{seed}/{number}")),
            [_uuid(source) for _ in range(ASSETS)],
            [_uuid(source) for _ in range(USERS)],
        )
        for number in range(len(_ORGANISATIONS))
    ]


def fill(path: Path, *, events: int = EVENTS, sessions: int = SESSIONS, seed: int = 1) -> None:
    """Make a database, or put more into one.

    Args:
        path: of the SQLite file.
        events: how many.
        sessions: of how many sessions.
        seed: other rows for another number.
    """
    statement = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
    with filling(path) as connection:
        for rows in made_rows(events, sessions, seed):
            connection.executemany(statement, rows)


@contextmanager
def filling(path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction that puts many events into a database. Indexes and triggers are made again behind it."""
    storage = SqliteStorage(path)
    storage.write([])  # the tables of today
    storage.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # A log of so many rows would be written, and read, and written again. A crash means to begin anew.
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-200000")
        later = connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'events' AND type IN ('index', 'trigger') "
            "AND sql IS NOT NULL ORDER BY name"
        ).fetchall()
        for kind, name, _ in later:
            connection.execute(f"DROP {kind} {name}")
        connection.execute("BEGIN")
        yield connection
        for _, _, sql in later:
            connection.execute(sql)
        connection.execute("DELETE FROM summed_days")
        connection.execute("COMMIT")
        connection.execute("PRAGMA optimize")
        connection.execute("PRAGMA journal_mode=WAL")


def made_rows(events: int, sessions: int, seed: int = 1) -> Iterator[list[Sequence[Any]]]:
    """The rows in the order of time, some thousands at once."""
    source = random.Random(seed)
    orgs = organisations(seed)
    starts = _starts(source, sessions)
    waiting: list[tuple[int, Sequence[Any]]] = []
    made = 0
    for number, start in enumerate(starts):
        left = sessions - number
        rest = events - made
        length = rest if left == 1 else min(_length(source, rest / left), rest - left + 1)
        made += length
        _session(source, orgs, start, length, waiting)
        if number % CHUNK == CHUNK - 1 or left == 1:
            waiting.sort(key=_time)
            # What comes later cannot be earlier than the next session's start.
            end = len(waiting) if left == 1 else _before(waiting, starts[number + 1])
            yield [row for _, row in waiting[:end]]
            del waiting[:end]


def _time(item: tuple[int, Sequence[Any]]) -> int:
    return item[0]


def _before(items: list[tuple[int, Sequence[Any]]], moment: int) -> int:
    end = len(items)
    while end and items[end - 1][0] >= moment:
        end -= 1
    return end


def _starts(source: random.Random, sessions: int) -> list[int]:
    """When each session starts, in milliseconds since 1970, ascending."""
    days = 365 * YEARS
    first = UNTIL - timedelta(days=days)
    # Twice as many at the end as at the beginning.
    weights = [_WEEKDAYS[(first + timedelta(days=day)).weekday()] * (1 + day / days) for day in range(days)]
    chosen = source.choices(range(days), cum_weights=list(accumulate(weights)), k=sessions)
    hours = source.choices(range(24), cum_weights=list(accumulate(_HOURS)), k=sessions)
    origin = int(first.timestamp() * 1000)
    return sorted(
        origin + day * 86_400_000 + hour * 3_600_000 + int(source.random() * 3_000_000)
        for day, hour in zip(chosen, hours, strict=True)
    )


def _length(source: random.Random, mean: float) -> int:
    # A few look and go, some play for long.
    return max(1, round(source.expovariate(1) * mean)) if mean > 1 else 1


def _types(source: random.Random, length: int) -> list[str]:
    """The event types of a session of so many events: the funnel, and attributes in its middle."""
    head = [EventType.SESSION_START.value, EventType.CONFIGURATION_START.value]
    tail = []
    if source.random() < 0.3:
        head.append((EventType.AR_OFFERED if source.random() < 0.7 else EventType.AR_NOT_AVAILABLE).value)
    if source.random() < 0.2:
        tail.append(EventType.CART_ADD.value)
        if source.random() < 0.4:
            tail.append(EventType.ORDERED.value)
        if source.random() < 0.1:
            tail.append(EventType.SOCIAL_SHARE.value)
    if source.random() < 0.6:
        tail.append(EventType.SESSION_END.value)
    middle = length - len(head) - len(tail)
    if middle < 0:
        return (head + tail)[:length]
    return [*head, *[EventType.CONFIGURATION_ATTRIBUTE_SET.value] * middle, *tail]


_ORG_WEIGHTS = list(accumulate(_ORGANISATIONS))
_ASSET_WEIGHTS = list(accumulate(1 / (number + 1) for number in range(ASSETS)))
_DEVICE_WEIGHTS = list(accumulate(device[0] for device in _DEVICES))


def _session(
    source: random.Random,
    orgs: list[Organisation],
    start: int,
    length: int,
    into: list[tuple[int, Sequence[Any]]],
) -> None:
    uniform = source.random
    bits = source.getrandbits
    [org] = source.choices(orgs, cum_weights=_ORG_WEIGHTS)
    [asset] = source.choices(org.assets, cum_weights=_ASSET_WEIGHTS)
    [(_, device, device_type, family, system, browser)] = source.choices(_DEVICES, cum_weights=_DEVICE_WEIGHTS)
    user = org.users[int(uniform() * USERS)] if uniform() < 0.25 else None
    session = _uuid(source)
    campaign = f'"campaign":"{_CAMPAIGNS[int(uniform() * len(_CAMPAIGNS))]}"' if uniform() < 0.5 else None
    metadata = f"{{{campaign}}}" if campaign else None
    url = "https://shop.example.com/api/analytics/events"
    page = f"https://shop.example.com/products/{asset[:8]}"
    chosen: dict[str, str] = {}
    configuration = None
    moment = start
    for event_type in _types(source, length):
        metric = 1.0
        data = metadata
        if event_type == "product configuration attribute set":
            number = int(uniform() ** 2 * len(_HEAD))
            chosen[_NAMES[number]] = _HEAD[number]
            configuration = f"{{{','.join(chosen.values())}}}"
        elif event_type == "product ordered":
            metric = round(200 + 1800 * uniform(), 2)
            data = f'{{{campaign + "," if campaign else ""}"order":{bits(24)}}}'
        elif event_type == "product configuration start" and uniform() < 0.1:
            [asset] = source.choices(org.assets, cum_weights=_ASSET_WEIGHTS)
        into.append(
            (
                moment,
                (
                    _id(moment, bits(74)),
                    _timestamp(moment),
                    event_type,
                    event_type,
                    org.org_id,
                    session,
                    data,
                    asset,
                    user,
                    None,
                    configuration,
                    device,
                    device_type,
                    family,
                    system,
                    browser,
                    None,
                    metric,
                    url,
                    "https://shop.example.com",
                    page,
                    None,
                ),
            )
        )
        moment += 500 + int(uniform() * 20_000)


def _id(moment: int, random_bits: int) -> str:
    return "%08x-%04x-7%03x-8%03x-%012x" % (  # noqa: UP031 - twice as fast as an f-string
        moment >> 16,
        moment & 0xFFFF,
        random_bits >> 62,
        random_bits >> 50 & 0xFFF,
        random_bits & 0xFFFF_FFFF_FFFF,
    )


_days: dict[int, str] = {}


def _timestamp(moment: int) -> str:
    day, rest = divmod(moment, 86_400_000)
    name = _days.get(day)
    if name is None:
        name = _days[day] = time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))
    seconds, milliseconds = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    return "%sT%02d:%02d:%02d.%03dZ" % (name, minutes // 60, minutes % 60, second, milliseconds)  # noqa: UP031


def _uuid(source: random.Random) -> str:
    digits = f"{source.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def main() -> None:
    """Read the command line and make the file."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.made", description="Make a database of sessions.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--sessions", type=int)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sessions = options.sessions or max(1, options.events * SESSIONS // EVENTS)
    started = time.perf_counter()
    fill(options.file, events=options.events, sessions=sessions, seed=options.seed)
    storage = SqliteStorage(options.file)
    storage.figures.rebuild()
    storage.close()
    seconds = time.perf_counter() - started
    print(f"{options.events:,} events in {seconds:.1f} s, {options.events / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
