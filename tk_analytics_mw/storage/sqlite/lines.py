"""Events as lines of JSON, put together by SQLite itself.

By way of Python's objects an export takes twice the processor's time, and the interpreter's lock. All lines of a slice
are one value: a row for each would ask for the lock each time.
"""

from __future__ import annotations

from typing import Final

# SQLite writes a number with 15 digits; where that is another number, with 17. Nearly all are the default, and most of
# the others integers: those are written as such in half of the time.
_METRIC: Final = (
    "CASE WHEN metric = 1.0 THEN '1.0' "
    "WHEN metric = CAST(metric AS INTEGER) AND abs(metric) < 1e15 THEN CAST(metric AS INTEGER) || '.0' "
    "WHEN CAST(CAST(metric AS TEXT) AS REAL) = metric THEN json_quote(metric) ELSE printf('%!.17g', metric) END"
)


def _if_there(name: str, column: str) -> str:
    return f"""CASE WHEN {column} IS NOT NULL THEN ',"{name}":' || json_quote({column}) END"""  # of NULL it makes null


def _object(name: str, column: str) -> str:
    return f"""',"{name}":' || {column}"""  # NULL, if it is not there, of which printf makes nothing


_MEMBERS: Final = (
    # how printf writes it, SQL of the value, or of the whole member where it can be absent
    ('"id":"%s"', "id"),  # an id and a time of ours have nothing to quote
    (',"createdAt":"%s"', "created_at"),
    (',"eventType":%s', "json_quote(event_type)"),
    (',"orgId":%s', "json_quote(?)"),  # of all of them, and quoted once
    (',"sessionId":%s', "json_quote(session_id)"),
    ("%s", _object("eventMetadata", "event_metadata")),
    ("%s", _if_there("assetId", "asset_id")),
    ("%s", _if_there("userId", "user_id")),
    ("%s", _if_there("configId", "config_id")),
    ("%s", _object("configuration", "configuration")),
    ("%s", _if_there("device", "device")),
    (',"metric":%s', _METRIC),
    (',"requestUrl":%s', "json_quote(request_url)"),
    (',"requestOrigin":%s', "json_quote(request_origin)"),
    (',"referer":%s', "json_quote(referer)"),
)
_FORMAT: Final = "".join(written for written, _ in _MEMBERS)

LINE: Final = f"printf('{{{_FORMAT}}}\n', {', '.join(value for _, value in _MEMBERS)})"
"""An SQL expression over the columns of ``events``: what :meth:`Event.as_read` gives, as JSON with a line feed. Its
question mark stands for the organisation, whose events they are."""

LINES: Final = "CAST(group_concat(line, '') AS BLOB)"
"""One over rows with such a ``line``: the bytes of all of them. ``NULL`` without any."""
