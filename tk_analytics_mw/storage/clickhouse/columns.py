"""How an event stands in the columns of ClickHouse, and the way there and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, Final

from pydantic_core import from_json

from tk_analytics_mw.events import Event
from tk_analytics_mw.json_values import dump
from tk_analytics_mw.storage.choices import canonical
from tk_analytics_mw.storage.lines import HIDDEN, line_of
from tk_analytics_mw.storage.rows import COLUMNS, WIRE_NAMES, moment_of, row_of

_KEPT: Final = tuple(name for name in COLUMNS if name not in ("event_metadata", "spelling"))  # the record has them
INSERTED: Final = (*_KEPT, "record", "metadata_values", "configuration_values")
"""The columns that an insert gives. The others ClickHouse makes itself."""

LINE: Final = "substring(record, 1, position(record, '\n'))"
"""SQL of an event as the API returns it, as one line of JSON with its line feed."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ASIDE: Final = tuple((name, COLUMNS.index(name)) for name in HIDDEN)
_NAMES: Final = tuple(WIRE_NAMES[name] for name in COLUMNS)
_OBJECTS: Final = (COLUMNS.index("event_metadata"), COLUMNS.index("configuration"))


def columns_of(events: Sequence[Event]) -> list[list[Any]]:
    """The values of :data:`INSERTED`, column by column.

    Raises:
        ValueError: a value is none that ClickHouse can keep as it is.
    """
    rows = [row_of(event) for event in events]
    columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    for column in columns.values():
        "".join([value for value in column if type(value) is str]).encode()  # the driver would fail half-way through
    columns["id"] = [_bytes_of(value) for value in columns["id"]]
    # In milliseconds: by way of seconds as a float some would come out a millisecond early.
    columns["created_at"] = [_milliseconds(event.created_at) for event in events]
    columns["record"] = [_record(row) for row in rows]
    columns["metadata_values"] = [_values(event.event_metadata) for event in events]
    columns["configuration_values"] = [_values(event.configuration) for event in events]
    return [columns[name] for name in INSERTED]


def _record(row: Sequence[Any]) -> str:
    """An event as one text, so that one column is read for it: its line, and behind it what that leaves out."""
    aside = {WIRE_NAMES[name]: value for name, place in _ASIDE if (value := row[place]) is not None}
    return (line_of(row) + dump(aside)).decode()


def row_of_record(record: bytes) -> list[Any]:
    """The values of :data:`~tk_analytics_mw.storage.rows.COLUMNS`."""
    values = _values_of(record.decode())
    row = [values.get(name) for name in _NAMES]
    for place in _OBJECTS:
        if row[place] is not None:
            row[place] = dump(row[place]).decode()
    return row


def event_of_record(record: str) -> Event:
    """The event."""
    values = _values_of(record)
    values["createdAt"] = moment_of(values["createdAt"])
    return Event.model_validate(values, by_alias=True, by_name=False)


def _values_of(record: str) -> dict[str, Any]:
    line, _, aside = record.partition("\n")
    return {**from_json(line, cache_strings="keys"), **from_json(aside, cache_strings="keys")}


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
