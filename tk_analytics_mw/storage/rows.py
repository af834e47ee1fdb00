"""How an event stands in a row: names and order of the columns, and the way there and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from pydantic.alias_generators import to_camel
from pydantic_core import from_json

from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.json_values import dump

COLUMNS: Final = (
    "id",
    "created_at",
    "event_type",
    "spelling",
    "org_id",
    "session_id",
    "event_metadata",
    "asset_id",
    "user_id",
    "config_id",
    "configuration",
    "device",
    "device_type",
    "device_family",
    "system",
    "browser",
    "user_agent",
    "metric",
    "request_url",
    "request_origin",
    "referer",
    "idempotency_key",
)

WIRE_NAMES: Final = {name: to_camel(name) for name in COLUMNS}
"""How the contract spells them."""

_OBJECTS: Final = ("event_metadata", "configuration")
_PLACES: Final = tuple(COLUMNS.index(name) for name in _OBJECTS)
_CREATED_AT: Final = COLUMNS.index("created_at")
_values = itemgetter(*COLUMNS)


def row_of(event: Event) -> list[Any]:
    """The values of :data:`COLUMNS`: texts, numbers and ``None``; objects as JSON."""
    row = [*_values(vars(event))]
    row[_CREATED_AT] = timestamp(event.created_at)
    for place in _PLACES:
        if row[place] is not None:
            row[place] = dump(row[place]).decode()
    return row


def event_of(row: Sequence[Any]) -> Event:
    """The event of a row, its values in the order of :data:`COLUMNS`."""
    values = dict(zip(COLUMNS, row, strict=True))
    for name in _OBJECTS:
        if values[name] is not None:
            values[name] = from_json(values[name], cache_strings="keys")
    values["created_at"] = moment_of(values["created_at"])
    return Event.model_validate(values, by_name=True, by_alias=False)


def moment_of(text: str) -> datetime:
    """The moment that stands in ``created_at``."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
