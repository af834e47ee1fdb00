"""``POST {prefix}/events``: one event. Read from top to bottom, this is the way of an event."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from tk_analytics_mw.access import authenticate
from tk_analytics_mw.intake import event_from, keep, sender_of
from tk_analytics_mw.json_values import load
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.waiting import Waits


async def create(request: Request, parts: Parts, waits: Waits) -> Response:
    """Store one event and answer with it. When this returns, the event is durable."""
    principal = await authenticate(request, parts, waits)
    sender = sender_of(request, principal, parts)
    event = event_from(load(request.body), sender, parts)
    [outcome], after = await keep([event], parts, waits, sender)
    if isinstance(outcome, Exception):
        raise outcome
    response = json_response(outcome.as_answer())
    if after:
        response.background = partial(parts.hooks.run, after, waits)  # type: ignore[assignment]
    return response
