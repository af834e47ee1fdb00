"""From one storage to another: events, deliveries that wait, tokens, refusals; what is there already stays as it is."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Any, Final, Protocol, cast

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.base import Storage
from tk_analytics_mw.storage.outbox import DeliveryQuery, DurableStorage, State, Subscription
from tk_analytics_mw.storage.reader import ReadableStorage, Reader
from tk_analytics_mw.storage.refusals import DAYS, SAMPLES, RefusalStorage
from tk_analytics_mw.storage.rows import COLUMNS, event_of
from tk_analytics_mw.storage.survey import SurveyedStorage
from tk_analytics_mw.storage.tokens import TokenStorage

BATCH: Final = 500
"""Events of one commit."""

NEAR: Final = 5_000
"""Positions: so close the place is found where an earlier copy ended; what is written again changes nothing."""

_WAITING: Final[tuple[State, ...]] = ("pending", "running", "retrying")
_ID: Final = COLUMNS.index("id")
_OBJECTS: Final = (COLUMNS.index("event_metadata"), COLUMNS.index("configuration"))

Report = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


class Source(ReadableStorage, SurveyedStorage, Protocol):
    """What can be copied."""


@dataclass(frozen=True, slots=True)
class Total:
    """The events of an organisation: how many, and what they are."""

    events: int = 0
    checksum: int = 0
    """The same for the same events in any order, whatever engine holds them. 64 bits."""

    def __add__(self, other: Total) -> Total:
        return Total(self.events + other.events, (self.checksum + other.checksum) % 2**64)


class Copy:
    """One copying, of what ``source`` holds when this begins. It may be broken off at any time and begun again.

    Args:
        source: it may be written to meanwhile: what comes later is for the next time.
        target: so may this.

    Raises:
        ConfigurationError: ``source`` does not say what it holds, or ``target`` cannot take it.
    """

    def __init__(self, source: Storage, target: Storage) -> None:
        if not (isinstance(source, ReadableStorage) and isinstance(source, SurveyedStorage)):
            raise ConfigurationError(f"a {type(source).__name__} cannot be read: there is nothing to copy from")
        self._source = cast("Source", source)
        self._target = target
        self._until = source.reader.last_position()
        self._organisations = source.organisations()
        self.left: list[str] = []
        """What stays behind, and why."""

    def run(self, report: Report) -> None:
        """Copy everything.

        Args:
            report: is told how far the events have come.

        Raises:
            StorageUnavailable: either cannot be used now.
        """
        waiting = self._waiting()
        for number, org_id in enumerate(self._organisations):
            after = self._first_missing(org_id)
            for rows, position in _slices(self._source.reader, org_id, after, self._until):
                self._write(rows, waiting)
                report(number * self._until + position, len(self._organisations) * self._until)
        self._tokens()
        self._refusals()

    def totals(self, report: Report) -> Mapping[str, tuple[Total, Total | None]]:
        """Read everything once more, and give of each organisation what the source had and the target has now.

        Args:
            report: is told how far this has come.
        """
        readable = isinstance(self._target, ReadableStorage)
        done, found = 0, {}
        for org_id in self._organisations:
            sides: list[Total | None] = [None, None]
            for side, storage in enumerate((self._source, self._target)[: 1 + readable]):
                reader = cast("ReadableStorage", storage).reader
                until = reader.last_position() if side else self._until
                total = Total()
                for rows, position in _slices(reader, org_id, 0, until):
                    total = sum(map(_total, rows), total)
                    report(done + position * self._until // until, 2 * len(self._organisations) * self._until)
                done += self._until
                sides[side] = total
            found[org_id] = (sides[0] or Total(), sides[1])
        return found

    def _first_missing(self, org_id: str) -> int:
        """A position up to which the target has the source's events: they came there in the same order."""
        if not isinstance(self._target, ReadableStorage):
            return 0
        low, high = 0, self._until
        while high - low > NEAR:
            middle = (low + high) // 2
            rows = next((rows for rows, _ in _slices(self._source.reader, org_id, middle, high) if rows), None)
            if rows and self._target.reader.event(org_id, str(rows[0][_ID])) is not None:
                low = middle
            else:
                high = middle
        return low

    def _write(self, rows: Sequence[Sequence[object]], waiting: Mapping[str, Sequence[str]]) -> None:
        """Write events, each with the deliveries that are still to be made of it."""
        for names, group in groupby(rows, lambda row: waiting.get(str(row[_ID]), ())):
            events = [event_of(row) for row in group]
            for start in range(0, len(events), BATCH):
                batch = events[start : start + BATCH]
                if names:
                    due = [Subscription(name) for name in names]
                    cast("DurableStorage", self._target).write(batch, due)
                else:
                    self._target.write(batch)

    def _waiting(self) -> Mapping[str, Sequence[str]]:
        """The names that wait for an event, by its id. The target gets to know all subscriptions."""
        waiting: dict[str, list[str]] = defaultdict(list)
        if not isinstance(self._source, DurableStorage):
            return waiting
        dead = 0
        for name, counts in self._source.outbox.counts().items():
            dead += counts.dead
            if isinstance(self._target, DurableStorage):
                # Now: what it has had already is not to come a second time.
                self._target.outbox.enroll(Subscription(name), now=time.time())
                if counts.off is not None:
                    self._target.outbox.switch(name, off=counts.off)
            elif counts.pending:
                raise ConfigurationError(
                    f"{counts.pending:,} deliveries wait for {name}, and a {type(self._target).__name__} keeps none: "
                    "let `tk-analytics deliver --once` make them first"
                )
            before = None
            while found := self._source.outbox.find(
                DeliveryQuery(name=name, states=_WAITING, before=before), limit=10_000
            ):
                before = found[-1].event_id
                for row in found:
                    waiting[row.event_id].append(name)
        if dead:
            self.left.append(f"{dead:,} dead deliveries: replay or discard them where they are")
        return waiting

    def _tokens(self) -> None:
        if not isinstance(self._source, TokenStorage):
            return
        tokens = self._source.tokens.tokens()
        if tokens and not isinstance(self._target, TokenStorage):
            self.left.append(f"{len(tokens):,} tokens: a {type(self._target).__name__} keeps none")
        elif isinstance(self._target, TokenStorage):
            held = {token.id: token for token in self._target.tokens.tokens()}
            for token in tokens:
                if token.id not in held:
                    self._target.tokens.add(token)
                elif token.revoked_at is not None and held[token.id].revoked_at is None:
                    self._target.tokens.revoke([token.id], now=token.revoked_at)

    def _refusals(self) -> None:
        if not (isinstance(self._source, RefusalStorage) and isinstance(self._target, RefusalStorage)):
            return
        source, target = self._source.refusals, self._target.refusals
        today = datetime.now(timezone.utc).date()
        later: list[dict[Any, int]] = [{}, {}]  # of the days behind the one at hand
        missing = []
        for days in range(DAYS + 1):
            day = today - timedelta(days=days)
            since = [dict(store.counts(since=day)) for store in (source, target)]
            [there, here] = [
                {refusal: number - after.get(refusal, 0) for refusal, number in counts.items()}
                for counts, after in zip(since, later, strict=True)
            ]
            later = since
            further = {refusal: number - here.get(refusal, 0) for refusal, number in there.items()}
            missing.append((day, {refusal: number for refusal, number in further.items() if number > 0}))
        for day, counts in reversed(missing):  # a day that is added takes those away that are too old beside it
            if counts:
                target.add(day, counts, [])
        for org_id in ["", *self._organisations]:
            held = set(target.samples(limit=SAMPLES, org_id=org_id))
            samples = [each for each in source.samples(limit=SAMPLES, org_id=org_id) if each not in held]
            if samples:
                target.add(today, {}, samples[::-1])


def _slices(reader: Reader, org_id: str, after: int, until: int) -> Iterator[tuple[Sequence[Sequence[object]], int]]:
    """The rows of an organisation in the order of commits, with the position up to which they go."""
    wanted = Filter(org_id)
    while after < until:
        rows, after = reader.rows(wanted, after=after, until=until)
        yield rows, after


def _total(row: Sequence[Any]) -> Total:
    values = [*row]
    for place in _OBJECTS:
        if values[place] is not None:  # engines order the keys of objects as they like
            values[place] = json.loads(values[place])
    digest = hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=8).digest()
    return Total(1, int.from_bytes(digest, "big"))
