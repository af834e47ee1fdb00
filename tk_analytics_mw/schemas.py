"""What is given, in the words of JSON Schema."""

from __future__ import annotations

from typing import Any, Final

EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Event",
    "required": [
        "id",
        "createdAt",
        "eventType",
        "orgId",
        "sessionId",
        "metric",
        "requestUrl",
        "requestOrigin",
        "referer",
    ],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "createdAt": {"type": "string", "format": "date-time"},
        **{
            name: {"type": kind}
            for name, kind in {
                "eventType": "string",
                "orgId": "string",
                "sessionId": "string",
                "eventMetadata": "object",
                "assetId": "string",
                "userId": "string",
                "configId": "string",
                "configuration": "object",
                "device": "string",
                "metric": "number",
                "requestUrl": ["string", "null"],
                "requestOrigin": ["string", "null"],
                "referer": "string",
            }.items()
        },
    },
}

PROBLEM: Final[dict[str, Any]] = {
    "application/problem+json": {
        "schema": {
            "type": "object",
            "required": ["type", "title", "status", "detail"],
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                            "msg": {"type": "string"},
                            "type": {"type": "string"},
                        },
                    },
                },
            },
        }
    }
}

_MOMENT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}

CURSOR: Final[dict[str, Any]] = {"type": "string", "description": "Goes on behind what is here; absent at the end."}


def an_object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object with these members."""
    return {"type": "object", "required": [*required], "properties": {**required, **(optional or {})}}


def a_list(item: dict[str, Any]) -> dict[str, Any]:
    """A list of these."""
    return {"type": "array", "items": item}


LISTING: Final = an_object(
    {
        "page": {"type": "integer"},
        "perPage": {"type": "integer"},
        "sort": {"type": "string"},
        "count": {"type": "integer"},
        "countIsExact": {"type": "boolean"},
        "events": a_list(EVENT),
    },
    {"cursor": CURSOR},
)

_SESSION: Final[dict[str, Any]] = {
    "sessionId": {"type": "string"},
    "firstEventAt": _MOMENT,
    "lastEventAt": _MOMENT,
    "duration": {"type": "number", "description": "Seconds between the two."},
    "events": {"type": "integer"},
    "steps": {**a_list({"type": "string"}), "description": "Event types, in the order in which they came first."},
}
SESSIONS: Final = an_object(
    {"perPage": {"type": "integer"}, "sessions": a_list(an_object(_SESSION))}, {"cursor": CURSOR}
)
SESSION: Final = an_object({**_SESSION, "perPage": {"type": "integer"}, "timeline": a_list(EVENT)}, {"cursor": CURSOR})
_REFUSAL: Final[dict[str, Any]] = {
    "token": {"type": "string", "description": "Its public name."},
    "reason": {"type": "string"},
    "origin": {"type": "string"},
}
REFUSALS: Final = an_object(
    {
        "since": {"type": "string", "format": "date"},
        "counts": a_list(an_object({**_REFUSAL, "count": {"type": "integer"}})),
        "samples": a_list(an_object({"refusedAt": _MOMENT, **_REFUSAL, "path": {"type": "string"}})),
    }
)
BATCH: Final = an_object(
    {"results": a_list(an_object({"status": {"type": "integer"}}, {"event": EVENT, "detail": {"type": "string"}}))}
)
