"""Events as parameters of a statement, and the way back from a row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

from pydantic_core import to_json

from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.json_values import dump
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.rows import COLUMNS

LARGEST: Final = 2 * 2**20
"""Characters of events that go into one statement; MariaDB takes 16 MiB, unless it has been told otherwise."""

MOST: Final = 1_000
"""Events that go into one statement."""

# A float that is written with an exponent, and how to know at a glance that there is none: outside of texts such a
# number stands behind one of three characters.
_MAY_HAVE_EXPONENT: Final = re.compile(r"[:,\[]-?\d[\d.]*e\+?\d")
_TEXT_OR_EXPONENT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?e\+?\d+')


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


def written_out(text: str) -> str:
    """JSON in which no float has a positive exponent.

    ``jsonb`` gives ``1e16`` back as ``10000000000000000``, an integer, which is another number to a reader if it has
    more digits than a float holds. With ``.0`` at its end it stays a float.
    """
    if _MAY_HAVE_EXPONENT.search(text) is None:
        return text
    return _TEXT_OR_EXPONENT.sub(
        lambda found: found[0] if found[0].startswith('"') else f"{Decimal(found[0]):f}.0", text
    )


def event_from(row: Sequence[Any]) -> Event:
    """The event of a row with the columns :data:`~tk_analytics_mw.storage.sql.schema.EVENT`."""
    return Event.model_validate(dict(zip(COLUMNS, row, strict=True)), by_name=True, by_alias=False)
