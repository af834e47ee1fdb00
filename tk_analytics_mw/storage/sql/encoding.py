"""Events as parameters of a statement, and the way back from a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydantic_core import to_json

from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.json_values import dump
from tk_analytics_mw.storage.exponents import written_out
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.rows import COLUMNS

LARGEST: Final = 2 * 2**20
"""Characters of events that go into one statement; MariaDB takes 16 MiB, unless it has been told otherwise."""

MOST: Final = 1_000
"""Events that go into one statement."""


def portions(sizes: Sequence[int]) -> Iterator[slice]:
    """Which events go into one statement together, by their lengths."""
    begin, size = 0, 0
    for number, each in enumerate(sizes):
        if number > begin and (size + each > LARGEST or number - begin >= MOST):
            yield slice(begin, number)
            begin, size = number, 0
        size += each
    if begin < len(sizes):
        yield slice(begin, len(sizes))


def as_object(event: Event) -> str:
    """An event as one JSON object, by the names of the columns; what is ``None`` is left out."""
    values = vars(event)
    given: dict[str, Any] = {name: value for name in COLUMNS if (value := values[name]) is not None}
    given["created_at"] = timestamp(event.created_at)
    return written_out(dump(given).decode())


def due_as_json(due: Sequence[Subscription]) -> str:
    """Subscriptions, as JSON objects."""
    return to_json([{"name": each.name, "types": sorted(each.event_types) or None} for each in due]).decode()


def event_from(row: Sequence[Any]) -> Event:
    """The event of a row with the columns :data:`~tk_analytics_mw.storage.sql.schema.EVENT`."""
    return Event.model_validate(dict(zip(COLUMNS, row, strict=True)), by_name=True, by_alias=False)
