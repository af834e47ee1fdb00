"""A row as the line of an export, without a way through Python's objects."""

from __future__ import annotations

from collections.abc import Sequence
from json.encoder import encode_basestring as quoted
from typing import Any, Final

from tk_analytics_mw.json_values import dump
from tk_analytics_mw.storage.rows import COLUMNS, WIRE_NAMES

_ALWAYS: Final = ("request_url", "request_origin")  # null if there is none; what else is absent is left out
_JSON: Final = ("event_metadata", "configuration")
HIDDEN: Final = ("spelling", "device_type", "device_family", "system", "browser", "user_agent", "idempotency_key")
"""The columns that a line does not have."""
_MEMBERS: Final = tuple(
    (COLUMNS.index(name), f'"{WIRE_NAMES[name]}":', name in _JSON, name in _ALWAYS)
    for name in COLUMNS
    if name not in HIDDEN
)


def line_of(row: Sequence[Any]) -> bytes:
    """What :meth:`Event.as_read` gives for a row, as JSON with a line feed.

    Args:
        row: values in the order of :data:`~tk_analytics_mw.storage.rows.COLUMNS`; others may follow.
    """
    members = []
    for place, name, is_json, always in _MEMBERS:
        value = row[place]
        if value is None:
            if always:
                members.append(f"{name}null")
        elif is_json:
            members.append(name + value)
        elif isinstance(value, str):
            members.append(name + quoted(value))
        else:
            members.append(name + dump(value).decode())
    return f"{{{','.join(members)}}}\n".encode()
