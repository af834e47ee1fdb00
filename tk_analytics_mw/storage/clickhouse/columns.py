"""How an event stands in the columns of ClickHouse, and the way there and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, Final

from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.choices import canonical
from tk_analytics_mw.storage.rows import COLUMNS, row_of

INSERTED: Final = (*COLUMNS, "metadata_values", "configuration_values")
"""The columns that an insert gives. The others ClickHouse makes itself."""

_READ: Final = {
    "id": "UUIDNumToString(id)",
    "created_at": "concat(replaceOne(toString(created_at), ' ', 'T'), 'Z')",
}
ROW: Final = ", ".join(_READ.get(name, name) for name in COLUMNS)
"""SQL of the values of :data:`~tk_analytics_mw.storage.rows.COLUMNS`, as :func:`event_of` takes them."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ID: Final = COLUMNS.index("id")
_CREATED_AT: Final = COLUMNS.index("created_at")


def columns_of(events: Sequence[Event]) -> list[list[Any]]:
    """The values of :data:`INSERTED`, column by column.

    Raises:
        ValueError: a value is none that ClickHouse can keep as it is.
    """
    columns = [list(column) for column in zip(*map(row_of, events), strict=True)]
    for column in columns:
        "".join([value for value in column if type(value) is str]).encode()  # the driver would fail half-way through
    columns[_ID] = [_bytes_of(value) for value in columns[_ID]]
    # In milliseconds: by way of seconds as a float some would come out a millisecond early.
    columns[_CREATED_AT] = [_milliseconds(event.created_at) for event in events]
    columns.append([_values(event.event_metadata) for event in events])
    columns.append([_values(event.configuration) for event in events])
    return columns


def id_digits(id_: str) -> str | None:
    """The digits of an id; ``None`` if it is none that can be stored."""
    return id_.replace("-", "") if _UUID.fullmatch(id_) else None


def _bytes_of(id_: str) -> bytes:
    digits = id_digits(id_)
    if digits is None:
        raise ValueError("an event's id is to be a UUID in small letters: ClickHouse keeps it as 16 bytes")
    return bytes.fromhex(digits)


def _milliseconds(moment: datetime) -> int:
    since_1970 = moment - _EPOCH
    return (since_1970.days * 86_400 + since_1970.seconds) * 1000 + since_1970.microseconds // 1000


def _values(given: Mapping[str, Any] | None) -> dict[str, str]:
    """The values of an object, each as the text that all equal values have in common: what is compared and counted."""
    return {} if not given else {key: _text(value) for key, value in given.items()}


def _text(value: Any) -> str:
    return _text_of_string(value) if type(value) is str else canonical(value)


@lru_cache(maxsize=16_384)  # what shoppers choose from is the same for everybody
def _text_of_string(value: str) -> str:
    return canonical(value)
