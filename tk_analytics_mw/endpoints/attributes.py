"""``GET {prefix}/events/attributes``: what shoppers chose, and what of it ended in a cart or an order."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field
from starlette.responses import Response

from tk_analytics_mw.asking import offered, question
from tk_analytics_mw.errors import InvalidEvent
from tk_analytics_mw.figure_parameters import RecentParameters
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.figures import Attribute, figures_of
from tk_analytics_mw.waiting import Waits


class AttributesParameters(RecentParameters):
    """Which events, and how many values."""

    top: Annotated[int, Field(ge=1, le=500, description="Values of each attribute that are shown.")] = 50


async def count_attributes(request: Request, parts: Parts, waits: Waits) -> Response:
    """Answer with the attributes of configurations and the sessions in which each value was chosen."""
    asked = await question(request, parts, waits, AttributesParameters)
    figures = offered(figures_of, parts)
    wanted = asked.parameters
    if wanted.event_type is not None:
        raise InvalidEvent.at("query", "eventType", msg="choices are of three event types: leave it out")
    filter_ = wanted.as_recent_filter(asked.org_id, parts.event_types)
    found = await waits.read(figures.attributes, filter_)
    attributes = [_attribute(each, wanted.top) for each in found]
    return json_response({**wanted.said_of_times(filter_), "attributes": attributes})


def _attribute(attribute: Attribute, top: int) -> dict[str, Any]:
    values = [
        {"value": json.loads(value), "sessions": chosen.sessions, "carts": chosen.carts, "orders": chosen.orders}
        for value, chosen in attribute.values.items()
    ]
    return {
        "attribute": attribute.name,
        "sessions": attribute.sessions,
        "values": values[:top],
        "otherValues": len(values[top:]),
    }
