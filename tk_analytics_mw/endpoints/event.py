"""``GET {prefix}/events/{id}``: one event."""

from __future__ import annotations

from starlette.responses import Response

from tk_analytics_mw.asking import question
from tk_analytics_mw.errors import Refused
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parameters import Parameters
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.waiting import Waits


async def read_event(request: Request, parts: Parts, waits: Waits) -> Response:
    """Answer with the event; 404 if the organisation of who asks has none with this id."""
    asked = await question(request, parts, waits, Parameters)
    event = await waits.read(asked.reader.event, asked.org_id, request.captured["id"].lower())
    if event is None:
        raise Refused("The organisation has no event with this id.", status=404)
    return json_response(event.as_read())
