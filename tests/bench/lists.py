"""How fast events are read as data grows, over the made data.

    python -m tests.bench.lists FILE

FILE is made by ``tests.bench.made`` if it is not there. Milliseconds are those of whole requests, through WSGI and in
this process; what is asked for is drawn from the data, so that frequent values come up as often as they are.
"""

from __future__ import annotations

import random
import resource
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.bench.made import EVENTS, SESSIONS, fill, organisations
from tests.hosts.base import EVENTS as PATH
from tests.hosts.base import PRIVATE, Reply
from tests.hosts.wsgi_face import call_wsgi, environ_of
from tk_analytics_mw import Analytics, PrivateToken
from tk_analytics_mw.storage.sqlite.postings import Postings

REQUESTS = 100
FIELDS = (
    "eventType",
    "sessionId",
    "assetId",
    "userId",
    "device",
    "deviceType",
    "system",
    "browser",
    "metric",
    "referer",
)
EXPORTED = 500_000
"""Events of an export that are timed."""


class Times(NamedTuple):
    """Milliseconds at the 95th percentile. On a busy machine those of the processor say more."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"p95 {self.wall:.1f} ms, {self.processor:.1f} ms of the processor"


class Reads:
    """Requests about the largest organisation of the made data.

    Args:
        path: of the SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.org_id = organisations()[0].org_id
        self.analytics = Analytics(storage=f"sqlite:///{path}", tokens=[PrivateToken(PRIVATE, org_id=self.org_id)])
        self.app: Any = self.analytics.wsgi()
        storage: Any = self.analytics.find_parts().storage
        postings: Postings = storage.reader._postings
        while postings.look(60):
            pass
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            [last] = connection.execute("SELECT max(position) FROM events").fetchone()
            source = random.Random(1)
            drawn = (
                connection.execute(
                    "SELECT * FROM events NOT INDEXED WHERE position >= ? AND org_id = ? LIMIT 1",
                    (source.randrange(last), self.org_id),
                ).fetchone()
                for _ in range(REQUESTS)
            )
            self.events = [dict(event) for event in drawn if event is not None]

    def ask(self, below: str, **parameters: Any) -> Reply:
        """Ask once."""
        headers = {"Authorization": f"Bearer {PRIVATE}"}
        reply = call_wsgi(self.app, environ_of("GET", f"{PATH}{below}", urlencode(parameters), headers, b""))
        assert reply.status == 200, reply.body
        return reply

    def by_id(self) -> Times:
        """One event."""
        return self._p95(lambda event: self.ask(f"/{event['id']}"))

    def timeline(self) -> Times:
        """One session's."""
        return self._p95(lambda event: self.ask(f"/sessions/{event['session_id']}"))

    def first_page(self) -> Iterator[tuple[str, Times]]:
        """Of the list: without a filter, and with each one that an event of the made data has a value for."""
        yield "no filter", self._p95(lambda _: self.ask(""))
        for name in FIELDS:
            column = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
            events = [event for event in self.events if event[column] is not None]
            yield name, self._p95(lambda event, n=name, c=column: self.ask("", **{n: event[c]}), events)  # type: ignore[misc]
        texts = [event["event_metadata"] for event in self.events if event["event_metadata"]]
        yield "metadata", self._p95(lambda text: self.ask("", metadata=text), texts)
        yield "nothing has it", self._p95(lambda event: self.ask("", assetId=event["id"]))

    def export(self) -> tuple[float, float]:
        """Events a second of a processor, and MiB that it took beyond what was in use."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        headers = {"Authorization": f"Bearer {PRIVATE}"}
        chunks = self.app(environ_of("GET", f"{PATH}/export", "", headers, b""), lambda *_: None)
        number, seconds = 0, 0.0
        while number < EXPORTED:
            started = time.process_time()
            chunk = next(chunks)
            seconds += time.process_time() - started  # without what it takes to count lines, which who reads it pays
            number += chunk.count(b"\n")
        rate = number / seconds
        chunks.close()
        return rate, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    def _p95(self, ask: Callable[[Any], object], what: list[Any] | None = None) -> Times:
        what = self.events if what is None else what
        for _ in range(2):  # the second time it is warm
            times = [_milliseconds(ask, each) for each in what]
        return Times(*(statistics.quantiles(each, n=20)[-1] for each in zip(*times, strict=True)))


def _milliseconds(ask: Callable[[Any], object], each: Any) -> tuple[float, float]:
    started, of_processor = time.perf_counter(), time.thread_time()
    ask(each)
    return (time.perf_counter() - started) * 1000, (time.thread_time() - of_processor) * 1000


def measure(path: Path) -> list[tuple[str, float, str]]:
    """What the bench's table has of it: what, how much, and the aim."""
    reads = Reads(path)
    pages = dict(reads.first_page())
    slowest = max(pages, key=lambda name: pages[name].wall)
    rate, memory = reads.export()
    rows = [
        ("one event by id: ms, p95", reads.by_id().wall, "≤ 10"),
        (
            f"first page of the list, the slowest filter of {len(pages)}, {slowest}: ms, p95",
            pages[slowest].wall,
            "≤ 10",
        ),
        ("one session's timeline: ms, p95", reads.timeline().wall, "≤ 10"),
        ("export of NDJSON: events/s of a processor", rate, "≥ 150,000"),
        ("the same: MiB more than before", memory, "≤ 100"),
    ]
    reads.analytics.close()
    return rows


def main() -> None:
    """Measure and print."""
    path = Path(sys.argv[1])
    if not path.exists():
        fill(path, events=EVENTS, sessions=SESSIONS)
    reads = Reads(path)
    print(f"one event by id: {reads.by_id()}", flush=True)
    print(f"one session's timeline: {reads.timeline()}", flush=True)
    for name, times in reads.first_page():
        print(f"first page of the list, {name}: {times}", flush=True)
    rate, memory = reads.export()
    print(f"export, ndjson: {rate:,.0f} events a second of a processor, {memory:.0f} MiB")


if __name__ == "__main__":
    main()
