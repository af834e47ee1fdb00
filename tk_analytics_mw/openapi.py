"""What the endpoints take and give, in the words of OpenAPI 3.1, from the same models."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

import tk_analytics_mw
from tk_analytics_mw.endpoints.attributes import AttributesParameters
from tk_analytics_mw.endpoints.breakdown import BreakdownParameters
from tk_analytics_mw.endpoints.export import ExportParameters
from tk_analytics_mw.endpoints.funnel import FunnelParameters
from tk_analytics_mw.endpoints.listing import ListParameters
from tk_analytics_mw.endpoints.refusals import RefusalParameters
from tk_analytics_mw.endpoints.sessions import SessionsParameters, TimelineParameters
from tk_analytics_mw.endpoints.views import ViewsParameters
from tk_analytics_mw.event_types import EventType
from tk_analytics_mw.events import NewEvent
from tk_analytics_mw.exports import CONTENT_TYPES
from tk_analytics_mw.figure_schemas import ATTRIBUTES, BREAKDOWN, FUNNEL, VIEWS
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parameters import Parameters
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.schemas import BATCH, EVENT, LISTING, PROBLEM, REFUSALS, SESSION, SESSIONS
from tk_analytics_mw.waiting import Waits

Operation = dict[str, Any]

_JSON: Final = "application/json"

_CREATING: Final = [
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
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    },
]

_REFUSALS: Final = {
    "400": "The request cannot be read.",
    "401": "Not authorised.",
    "403": "The organisation is another one, or the token may not do this.",
    "404": "The organisation has no such thing.",
    "411": "The length of the body is not known.",
    "413": "The body is too large.",
    "415": "The body is compressed.",
    "422": "A value is invalid.",
    "501": "The storage, or what is installed, cannot do this.",
    "503": "Not now: send it again.",
}


def _operation(summary: str, description: str, answer: dict[str, Any], *refusals: str) -> Operation:
    """One that is answered with ``answer``, content types to schemas, or refused in these ways."""
    content = {type_: {"schema": schema} for type_, schema in answer.items()}
    return {
        "summary": summary,
        "description": description,
        "responses": {
            "200": {"description": "Done.", "content": content},
            **{status: {"description": _REFUSALS[status], "content": PROBLEM} for status in refusals},
        },
    }


def creating(summary: str, description: str, body: dict[str, Any], answer: dict[str, Any]) -> Operation:
    """An operation that creates events."""
    refusals = ("400", "401", "403", "411", "413", "415", "422", "503")
    operation = _operation(summary, description, {_JSON: answer}, *refusals)
    operation["parameters"] = _CREATING
    operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    return operation


def reading(
    summary: str,
    description: str,
    model: type[Parameters],
    answer: dict[str, Any],
    *,
    captured: str | None = None,
    content_types: tuple[str, ...] = (_JSON,),
) -> Operation:
    """An operation that reads.

    Args:
        summary: a few words.
        description: a sentence.
        model: of the query parameters.
        answer: JSON Schema of the answer.
        captured: name of the parameter that ends the path.
        content_types: of the answer.
    """
    refusals = ("401", "403", *(["404"] if captured else []), "422", "501", "503")
    operation = _operation(summary, description, dict.fromkeys(content_types, answer), *refusals)
    operation["parameters"] = _query(model)
    if captured:
        parameter = {"name": captured, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        operation["parameters"].append(parameter)
    return operation


def _query(model: type[Parameters]) -> list[dict[str, Any]]:
    parameters = []
    described = model.model_json_schema(by_alias=True)
    for name, schema in described["properties"].items():
        parameter: dict[str, Any] = {"name": name, "in": "query", "required": name in described.get("required", ())}
        if "description" in schema:
            parameter["description"] = schema["description"]
        kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
        kept = {key: value for key, value in schema.items() if key not in ("anyOf", "title", "description")}
        if kept.get("default", ...) is None:
            del kept["default"]
        plain = {**kinds[0], **kept} if len(kinds) == 1 else {**kept, "anyOf": kinds}
        plain = {key: value for key, value in plain.items() if key not in ("title", "description")}
        if plain.get("type") == "object":
            parameter["content"] = {_JSON: {"schema": plain}}
        else:
            parameter["schema"] = plain
        parameters.append(parameter)
    return parameters


def _new_event() -> dict[str, Any]:
    schema = NewEvent.model_json_schema(by_alias=True)
    schema["properties"]["eventType"]["examples"] = [type_.value for type_ in EventType]
    return schema


_DESCRIBED: Final = {"type": "object", "required": ["openapi", "info", "paths"]}

OPERATIONS: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "events"): creating("Create an event", "Durable when it is answered with 200.", _new_event(), EVENT),
    ("POST", "events/batch"): creating(
        "Create several events",
        "Each is judged on its own.",
        {
            "type": "object",
            "required": ["events"],
            "properties": {"events": {"type": "array", "minItems": 1, "items": _new_event()}},
        },
        BATCH,
    ),
    ("GET", "events"): reading("List events", "Page by page, or on from a cursor.", ListParameters, LISTING),
    ("GET", "events/attributes"): reading(
        "Count what was chosen",
        "The attributes of configurations, and what of them ended in a cart or an order.",
        AttributesParameters,
        ATTRIBUTES,
    ),
    ("GET", "events/breakdown"): reading(
        "Break events down", "What there is of each asset, browser, campaign.", BreakdownParameters, BREAKDOWN
    ),
    ("GET", "events/funnel"): reading("Follow sessions", "How far they got, step by step.", FunnelParameters, FUNNEL),
    ("GET", "events/views"): reading(
        "Count events", "By hour, day, week, month or year; none is left out.", ViewsParameters, VIEWS
    ),
    ("GET", "events/export"): reading(
        "Export events",
        "All of them as they are now, in the order of commits, streamed.",
        ExportParameters,
        {"type": "string"},
        content_types=tuple(type_.partition(";")[0] for type_ in CONTENT_TYPES.values()),
    ),
    ("GET", "events/sessions"): reading(
        "List sessions", "The one with the latest event first.", SessionsParameters, SESSIONS
    ),
    ("GET", "events/sessions/{sessionId:path}"): reading(
        "Read a session", "Its events, the oldest first.", TimelineParameters, SESSION, captured="sessionId"
    ),
    ("GET", "events/{id}"): reading("Read an event", "By its id.", Parameters, EVENT, captured="id"),
    ("GET", "refusals"): reading(
        "List refusals", "What was refused of this organisation's tokens, and why.", RefusalParameters, REFUSALS
    ),
    ("GET", "healthcheck"): _operation("Healthcheck", "Whether the API is there.", {_JSON: {"const": True}}),
    ("GET", "openapi.json"): _operation("Describe the API", "This document.", {_JSON: _DESCRIBED}),
}
"""By method and path, as ``routes.py`` spells it. None refers to anything outside of itself, so that it can stand in
a host's own document."""

_FOR_ALL: Final = ("healthcheck", "openapi.json")
_SCHEMES: Final = {
    "private": {"type": "http", "scheme": "bearer", "description": "A private token."},
    "public": {
        "type": "apiKey",
        "in": "query",
        "name": "bearer_token",
        "description": "A public token, from one of its domains.",
    },
}


def document(path: str) -> dict[str, Any]:
    """The whole description.

    Args:
        path: of the API, without a slash at its end.
    """
    paths: dict[str, dict[str, Any]] = {}
    for (method, below), operation in OPERATIONS.items():
        security: list[dict[str, Any]] = [] if below in _FOR_ALL else [{"private": []}]
        if method == "POST":
            security.append({"public": []})
        path_of = "/" + below.replace(":path}", "}")
        paths.setdefault(path_of, {})[method.lower()] = {**operation, "security": security}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Analytics", "version": tk_analytics_mw.__version__},
        "servers": [{"url": path or "/"}],
        "paths": paths,
        "components": {"securitySchemes": _SCHEMES},
    }


async def describe(request: Request, _parts: Parts, _waits: Waits) -> Response:
    """``GET {prefix}/openapi.json``: answer with the description of the API as it is mounted here."""
    path: str = request.scope["path"]
    return json_response(document(path.rstrip("/").removesuffix("/openapi.json")))
