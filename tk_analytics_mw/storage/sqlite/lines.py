"""An event as one line of JSON, put together by SQLite itself: three times as fast as by way of Python's objects."""

from __future__ import annotations

from typing import Final

# SQLite writes a number with 15 digits; where that is another number, with all 17.
_METRIC: Final = (
    "CASE WHEN CAST(CAST(metric AS TEXT) AS REAL) = metric THEN json_quote(metric) ELSE printf('%!.17g', metric) END"
)


def _member(name: str, column: str, *, optional: bool = False, json: bool = False) -> str:
    member = f""" ',"{name}":' || {column if json else f"json_quote({column})"} """
    return f" coalesce({member}, '') " if optional else member


LINE: Final = "||".join(
    [
        """ '{"id":' || json_quote(id) """,
        _member("createdAt", "created_at"),
        _member("eventType", "event_type"),
        _member("orgId", "org_id"),
        _member("sessionId", "session_id"),
        _member("eventMetadata", "event_metadata", optional=True, json=True),
        *(
            f" CASE WHEN {column} IS NULL THEN '' ELSE {_member(name, column)} END "
            for name, column in (("assetId", "asset_id"), ("userId", "user_id"), ("configId", "config_id"))
        ),
        _member("configuration", "configuration", optional=True, json=True),
        f" CASE WHEN device IS NULL THEN '' ELSE {_member('device', 'device')} END ",
        _member("metric", _METRIC, json=True),
        _member("requestUrl", "request_url"),  # json_quote(NULL) is null
        _member("requestOrigin", "request_origin"),
        _member("referer", "referer"),
        " '}' ",
    ]
)
"""An SQL expression over the columns of ``events``; what it gives is what :meth:`Event.as_read` does."""
