"""How fast events are read as data grows, over the made data.

    python -m tests.bench.lists URL

URL is that of a storage, see :class:`tests.bench.door.Door`. Milliseconds are those of whole requests; what is asked
for is drawn from the data, so that frequent values come up as often as they are.
"""

from __future__ import annotations

import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.door import Door
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.rows import COLUMNS, row_of

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


class Exported(NamedTuple):
    """What an export takes."""

    rate: float
    """Events a second."""
    of_processor: float
    """Events a second of this process's processor."""
    memory: float
    """MiB beyond what was in use."""


class Reads:
    """Requests for what is drawn from the data.

    Args:
        door: to the data.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self.ask = door.ask
        reader, source = door.storage.reader, random.Random(1)
        first, last = door.storage.figures.span(door.org_id)
        moments = (first + (last - first) * source.random() for _ in range(REQUESTS))
        pages = (reader.events(Filter(door.org_id, since=moment), "oldest", limit=1) for moment in moments)
        self.events = [dict(zip(COLUMNS, row_of(event), strict=True)) for page in pages for event in page.events]

    def by_id(self) -> Times:
        """One event."""
        return self._p95(lambda event: self.ask(f"events/{event['id']}"))

    def timeline(self) -> Times:
        """One session's."""
        return self._p95(lambda event: self.ask(f"events/sessions/{event['session_id']}"))

    def first_page(self) -> Iterator[tuple[str, Times]]:
        """Of the list: without a filter, and with each one that an event of the made data has a value for."""
        yield "no filter", self._p95(lambda _: self.ask("events"))
        for name in FIELDS:
            column = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
            events = [event for event in self.events if event[column] is not None]
            yield name, self._p95(lambda event, n=name, c=column: self.ask("events", **{n: event[c]}), events)  # type: ignore[misc]
        texts = [event["event_metadata"] for event in self.events if event["event_metadata"]]
        yield "metadata", self._p95(lambda text: self.ask("events", metadata=text), texts)
        yield "nothing has it", self._p95(lambda event: self.ask("events", assetId=event["id"]))

    def export(self) -> Exported:
        """A part of one."""
        Path("/proc/self/clear_refs").write_text("5")  # the most memory so far counts from now on (Linux)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        number, took, of_processor = 0, 0.0, 0.0
        chunks = self._door.app(self._door.environ("events/export", {}), lambda *_: None)
        while number < EXPORTED:
            began, started = time.perf_counter(), time.process_time()
            chunk = next(chunks, b"")
            took += time.perf_counter() - began  # without what it takes to count lines, which who reads it pays
            of_processor += time.process_time() - started
            if not chunk:
                break
            number += chunk.count(b"\n")
        chunks.close()
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        return Exported(number / took, number / of_processor, memory)

    def _p95(self, ask: Callable[[Any], object], what: list[Any] | None = None) -> Times:
        what = self.events if what is None else what
        for _ in range(2):  # the second time it is warm
            times = [_milliseconds(ask, each) for each in what]
        return Times(*(statistics.quantiles(each, n=20)[-1] for each in zip(*times, strict=True)))


def _milliseconds(ask: Callable[[Any], object], each: Any) -> tuple[float, float]:
    started, of_processor = time.perf_counter(), time.process_time()
    ask(each)
    return (time.perf_counter() - started) * 1000, (time.process_time() - of_processor) * 1000


def measure(door: Door) -> list[tuple[str, float, str]]:
    """What the bench's table has of it: what, how much, and the aim."""
    reads = Reads(door)
    pages = dict(reads.first_page())
    slowest = max(pages, key=lambda name: pages[name].wall)
    first, export = reads.export(), reads.export()  # the aim is for data that the system has in memory
    few = f"≤ {10 * door.slack:g}"
    return [
        ("one event by id: ms, p95", reads.by_id().wall, few),
        (f"first page of the list, the slowest filter of {len(pages)}, {slowest}: ms, p95", pages[slowest].wall, few),
        ("one session's timeline: ms, p95", reads.timeline().wall, few),
        ("export of NDJSON: events/s", export.rate, f"≥ {150_000 / door.slack:,.0f}"),
        ("the same: events/s of a processor", export.of_processor, ""),
        ("the same: MiB more than before", max(first.memory, export.memory), "≤ 100"),
    ]


def main() -> None:
    """Measure and print."""
    door = Door(sys.argv[1])
    reads = Reads(door)
    print(f"one event by id: {reads.by_id()}", flush=True)
    print(f"one session's timeline: {reads.timeline()}", flush=True)
    for name, times in reads.first_page():
        print(f"first page of the list, {name}: {times}", flush=True)
    rate, of_processor, memory = reads.export()
    print(f"export, ndjson: {rate:,.0f} events/s, {of_processor:,.0f} of a processor, {memory:.0f} MiB")
    door.close()


if __name__ == "__main__":
    main()
