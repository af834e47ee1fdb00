"""``GET {prefix}/events/breakdown``: how many events there are of each asset, browser, campaign, ..."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from tk_analytics_mw.asking import offered, question
from tk_analytics_mw.figure_parameters import RecentParameters
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.figures import Amounts, Dimension, figures_of
from tk_analytics_mw.waiting import Waits

_FIELDS: Final = {
    "assetId": Dimension("asset_id"),
    "eventType": Dimension("event_type"),
    "device.type": Dimension("device_type"),
    "browser": Dimension("browser"),
    "system": Dimension("system"),
}


_OBJECTS: Final[dict[str, Literal["event_metadata", "configuration"]]] = {
    "metadata": "event_metadata",
    "configuration": "configuration",
}
_BY: Final = {
    "type": "string",
    "maxLength": 500,
    "pattern": "^(assetId|eventType|device\\.type|browser|system|(metadata|configuration)\\..+)$",
}


def _dimension(value: Any) -> Any:
    if isinstance(value, str) and len(value) <= 500:
        if value in _FIELDS:
            return _FIELDS[value]
        column, _, key = value.partition(".")
        if column in _OBJECTS and key:
            return Dimension(_OBJECTS[column], key)
    known = ", ".join([*_FIELDS, *(f"{name}.<key>" for name in _OBJECTS)])
    raise PydanticCustomError("dimension", "must be one of {known}", {"known": known})


class BreakdownParameters(RecentParameters):
    """Which events, and by what they are told apart."""

    by: Annotated[
        Annotated[Dimension, BeforeValidator(_dimension), WithJsonSchema(_BY)],
        Field(description="assetId, eventType, device.type, browser, system, metadata.<key> or configuration.<key>."),
    ]
    top: Annotated[int, Field(ge=1, le=500, description="Values that are shown one by one.")] = 10


async def break_down(request: Request, parts: Parts, waits: Waits) -> Response:
    """Answer with what there is of each value, the commonest first, and of all others together."""
    asked = await question(request, parts, waits, BreakdownParameters)
    figures = offered(figures_of, parts)
    wanted = asked.parameters
    filter_ = wanted.as_recent_filter(asked.org_id, parts.event_types)
    found = await waits.read(figures.breakdown, filter_, wanted.by, top=wanted.top)
    return json_response(
        {
            **wanted.said_of_times(filter_),
            "by": request.query_params["by"],
            "total": _amounts(found.total),
            "groups": [{"value": group.value, **_amounts(group.amounts)} for group in found.groups],
            "other": {"values": found.other_values, **_amounts(found.other)},
        }
    )


def _amounts(amounts: Amounts) -> dict[str, Any]:
    return {
        "events": amounts.events,
        "sum": amounts.metric,
        "mean": amounts.metric / amounts.events if amounts.events else None,
        "sessions": amounts.sessions,
        "users": amounts.users,
    }
