"""How an event stands in the columns of ClickHouse, and the way there and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from operator import itemgetter
from struct import Struct
from typing import Any, Final

from pydantic_core import from_json

from tk_analytics_mw.events import Event
from tk_analytics_mw.json_values import dump
from tk_analytics_mw.storage.choices import canonical
from tk_analytics_mw.storage.lines import HIDDEN, line_of
from tk_analytics_mw.storage.rows import COLUMNS, WIRE_NAMES, moment_of, row_of

_FIRST: Final = ("id", "created_at", "metric")
_TEXTS: Final = ("org_id", "event_type", "session_id", "referer")
_IN_RECORD: Final = ("event_metadata", "spelling")
_NULLABLE: Final = tuple(name for name in COLUMNS if name not in (*_FIRST, *_TEXTS, *_IN_RECORD))
INSERTED: Final = (*_FIRST, *_TEXTS, *_NULLABLE, "record", "metadata_values", "configuration_values")
"""The columns that an insert gives, in this order. The others ClickHouse makes itself."""

LINE: Final = "substring(record, 1, position(record, '\n'))"
"""SQL of an event as the API returns it, as one line of JSON with its line feed."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ASIDE: Final = tuple((name, COLUMNS.index(name)) for name in HIDDEN)
_NAMES: Final = tuple(WIRE_NAMES[name] for name in COLUMNS)
_first: Final = Struct("<16sqd")
_texts: Final = itemgetter(*map(COLUMNS.index, _TEXTS))
_nullable: Final = itemgetter(*map(COLUMNS.index, _NULLABLE))
_BYTES: Final = [bytes([number]) for number in range(256)]
_OBJECTS: Final = (COLUMNS.index("event_metadata"), COLUMNS.index("configuration"))


def packed(events: Sequence[Event]) -> bytes:
    """The values of :data:`INSERTED`, event by event, in ClickHouse's format ``RowBinary``.

    Raises:
        ValueError: a value is none that ClickHouse can keep as it is.
    """
    pieces: list[bytes] = []
    for event in events:
        row = row_of(event)
        # In milliseconds: by way of seconds as a float some would come out a millisecond early.
        pieces.append(_first.pack(_bytes_of(event.id), _milliseconds(event.created_at), event.metric))
        pieces += [_text(value) for value in _texts(row)]
        pieces += [b"\1" if value is None else b"\0" + _text(value) for value in _nullable(row)]
        pieces += (_sized(_record(row)), _values(event.event_metadata), _values(event.configuration))
    return b"".join(pieces)


def _text(value: str) -> bytes:
    return _sized(value.encode())


def _sized(value: bytes) -> bytes:
    return _length(len(value)) + value


def _length(number: int) -> bytes:
    """A number in as many bytes as it needs: seven bits in each, the lowest first."""
    if number < 128:
        return _BYTES[number]
    return _BYTES[number & 127 | 128] + _length(number >> 7)


def _record(row: Sequence[Any]) -> bytes:
    """An event as one text, so that one column is read for it: its line, and behind it what that leaves out."""
    aside = {WIRE_NAMES[name]: value for name, place in _ASIDE if (value := row[place]) is not None}
    return line_of(row) + dump(aside)


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


def _values(given: Mapping[str, Any] | None) -> bytes:
    """The values of an object, each as the text that all equal values have in common: what is compared and counted."""
    if not given:
        return b"\0"
    pieces = [_text(key) + _of_json(dump(value)) for key, value in given.items()]
    return _length(len(pieces)) + b"".join(pieces)


@lru_cache(maxsize=16_384)  # what shoppers choose from is the same for everybody
def _of_json(value: bytes) -> bytes:
    return _text(canonical(from_json(value)))
