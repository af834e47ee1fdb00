"""``POST {prefix}/events``: one event. Read from top to bottom, this is the way of an event."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from tk_analytics_mw.access import authenticate
from tk_analytics_mw.hooks import Calls
from tk_analytics_mw.identities import identify
from tk_analytics_mw.intake import event_from, is_watched, keep, sender_of
from tk_analytics_mw.json_values import load
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.waiting import Waits


async def create(request: Request, parts: Parts, waits: Waits) -> Response:
    """Store one event and answer with it. When this returns, the event is durable."""
    principal = await authenticate(request, parts, waits)
    sender = sender_of(request, principal, parts)
    if parts.identify is not None:
        await identify(sender, parts, waits)
    body = load(request.body)
    event = event_from(body.value, sender, parts, plain=body.plain)
    del body
    after: Calls = ()
    if is_watched(parts, sender):
        [outcome], after = await keep([event], parts, waits, sender)
    else:
        del sender  # the less they hold who wait, the less the garbage collector has to look through
        [outcome] = await waits.commit(parts.commits, [event])
    if isinstance(outcome, Exception):
        raise outcome
    response = json_response(outcome.as_answer())
    if after:
        response.background = partial(parts.hooks.run, after, waits)  # type: ignore[assignment]
    return response
