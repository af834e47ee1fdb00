"""What the endpoints take and give, in the words of OpenAPI 3.1, from the same models."""

from __future__ import annotations

from typing import Any, Final

from tk_analytics_mw.events import EventType, NewEvent


def _new_event() -> dict[str, Any]:
    schema = NewEvent.model_json_schema(by_alias=True)
    schema["properties"]["eventType"]["examples"] = [type_.value for type_ in EventType]
    return schema


_EVENT: Final[dict[str, Any]] = {
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

_QUERY: Final = [
    {
        "name": "bearer_token",
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "description": "A public token, from one of its domains. A private one goes into Authorization: Bearer.",
    },
    {
        "name": "orgId",
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "description": "The token's own organisation, or a public one.",
    },
    {"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 200}},
]

_PROBLEM: Final = {
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


def _operation(summary: str, description: str, answer: dict[str, Any], body: dict[str, Any] | None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "description": description,
        "responses": {"200": {"description": "Done.", "content": {"application/json": {"schema": answer}}}},
    }
    if body is not None:
        operation["parameters"] = _QUERY
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        for status, why in {
            "401": "Not authorised.",
            "403": "The organisation is another one, or the token may not do this.",
            "413": "The body is too large.",
            "422": "A value is invalid.",
            "503": "Nothing was stored: send it again.",
        }.items():
            operation["responses"][status] = {"description": why, "content": _PROBLEM}
    return operation


OPERATIONS: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("POST", "events"): _operation("Create an event", "Durable when it is answered with 200.", _EVENT, _new_event()),
    ("POST", "events/batch"): _operation(
        "Create several events",
        "Each is judged on its own.",
        {
            "type": "object",
            "required": ["results"],
            "properties": {
                "results": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["status"],
                        "properties": {"status": {"type": "integer"}, "event": _EVENT},
                    },
                }
            },
        },
        {
            "type": "object",
            "required": ["events"],
            "properties": {"events": {"type": "array", "minItems": 1, "items": _new_event()}},
        },
    ),
    ("GET", "healthcheck"): _operation("Healthcheck", "Whether the API is there.", {"const": True}, None),
}
