"""An event as one line of JSON, put together by ClickHouse itself: by way of Python's objects it takes far longer."""

from __future__ import annotations

from typing import Final


def _if_there(name: str, column: str, value: str) -> str:
    # NULL in a text makes it NULL.
    return f"""ifNull(concat(',"{name}":', {value.format(column)}), '')"""


_TEXT: Final = "toJSONString(assumeNotNull({0}))"
_MEMBERS: Final = (
    """'{"id":"', UUIDNumToString(id)""",
    """'","createdAt":"', replaceOne(toString(created_at), ' ', 'T')""",
    """'Z","eventType":', toJSONString(event_type)""",
    """',"orgId":', toJSONString(org_id)""",
    """',"sessionId":', toJSONString(session_id)""",
    _if_there("eventMetadata", "event_metadata", "{0}"),
    *(
        f"""if(isNull({column}), '', concat(',"{name}":', {_TEXT.format(column)}))"""
        for name, column in (("assetId", "asset_id"), ("userId", "user_id"), ("configId", "config_id"))
    ),
    _if_there("configuration", "configuration", "{0}"),
    f"""if(isNull(device), '', concat(',"device":', {_TEXT.format("device")}))""",
    """',"metric":', toJSONString(metric)""",
    f"""',"requestUrl":', if(isNull(request_url), 'null', {_TEXT.format("request_url")})""",
    f"""',"requestOrigin":', if(isNull(request_origin), 'null', {_TEXT.format("request_origin")})""",
    """',"referer":', toJSONString(referer), '}\\n'""",
)

LINE: Final = f"concat({', '.join(_MEMBERS)})"
"""SQL of a line: what :meth:`Event.as_read` gives, and a line feed."""
