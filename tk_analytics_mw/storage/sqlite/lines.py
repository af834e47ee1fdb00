"""An event as one line of JSON, put together by SQLite itself.

By way of Python's objects an export takes twice the processor's time, and the interpreter's lock.
"""

from __future__ import annotations

from typing import Final


def _if_there(name: str, column: str, value: str) -> str:
    return f"""CASE WHEN {column} IS NULL THEN '' ELSE ',"{name}":' || {value} END"""


# SQLite writes a number with 15 digits; where that is another number, with 17. Most are integers.
_METRIC: Final = (
    "CASE WHEN metric = CAST(metric AS INTEGER) OR CAST(CAST(metric AS TEXT) AS REAL) = metric "
    "THEN json_quote(metric) ELSE printf('%!.17g', metric) END"
)
_MEMBERS: Final = (
    # name, SQL of the JSON value, or of the whole member where it can be absent
    ("id", "json_quote(id)"),
    ("createdAt", "json_quote(created_at)"),
    ("eventType", "json_quote(event_type)"),
    ("orgId", "json_quote(org_id)"),
    ("sessionId", "json_quote(session_id)"),
    (None, _if_there("eventMetadata", "event_metadata", "event_metadata")),
    (None, _if_there("assetId", "asset_id", "json_quote(asset_id)")),
    (None, _if_there("userId", "user_id", "json_quote(user_id)")),
    (None, _if_there("configId", "config_id", "json_quote(config_id)")),
    (None, _if_there("configuration", "configuration", "configuration")),
    (None, _if_there("device", "device", "json_quote(device)")),
    ("metric", _METRIC),
    ("requestUrl", "json_quote(request_url)"),  # of NULL it makes null
    ("requestOrigin", "json_quote(request_origin)"),
    ("referer", "json_quote(referer)"),
)
_FORMAT: Final = "".join("%s" if name is None else f',"{name}":%s' for name, _ in _MEMBERS)[1:]

LINE: Final = f"CAST(printf('{{{_FORMAT}}}', {', '.join(value for _, value in _MEMBERS)}) || char(10) AS BLOB)"
"""An SQL expression over the columns of ``events``: the bytes of what :meth:`Event.as_read` gives, and a line feed."""
