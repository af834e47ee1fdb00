"""``POST {prefix}/events/batch``: several events of one sender, each judged on its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from tk_analytics_mw.access import authenticate
from tk_analytics_mw.errors import AnalyticsError, InvalidEvent, StorageUnavailable
from tk_analytics_mw.events import Event
from tk_analytics_mw.identities import identify
from tk_analytics_mw.intake import Sender, event_from, keep, sender_of
from tk_analytics_mw.json_values import Parsed, dump, load
from tk_analytics_mw.messages import Request, encoded_response
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.problems import problem_from
from tk_analytics_mw.waiting import Waits


async def create_batch(request: Request, parts: Parts, waits: Waits) -> Response:
    """Store the valid ones and answer with a result for each, in their order."""
    principal = await authenticate(request, parts, waits)
    sender = sender_of(request, principal, parts)
    if parts.identify is not None:
        await identify(sender, parts, waits)
    results = _events_from(load(request.body), sender, parts)
    outcomes, after = await keep([event for event in results if isinstance(event, Event)], parts, waits, sender)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            parts.refusals.note(outcome, request)
    stored = iter(outcomes)
    results = [next(stored) if isinstance(result, Event) else result for result in results]
    unavailable = [outcome for outcome in outcomes if isinstance(outcome, StorageUnavailable)]
    if unavailable and len(unavailable) == len(outcomes):
        raise unavailable[0]  # nothing was stored: the whole request may be sent again
    # One by one: the garbage collector minds hundreds of objects that are there at once.
    response = encoded_response(b'{"results":[%b]}' % b",".join(dump(_result(result)) for result in results))
    if after:
        response.background = partial(parts.hooks.run, after, waits)  # type: ignore[assignment]
    return response


def _events_from(body: Parsed, sender: Sender, parts: Parts) -> list[Event | Exception]:
    """The events of a body, each of them or what is wrong with it."""
    results: list[Event | Exception] = []
    for number, item in enumerate(_items(body.value, parts)):
        try:
            results.append(event_from(item, sender, parts, plain=body.plain, number=number))
        except AnalyticsError as error:
            parts.refusals.note(error, sender.request)
            results.append(error)
    return results


def _items(body: Any, parts: Parts) -> list[Any]:
    items = body.get("events") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise InvalidEvent.at("body", "events", msg="must be a list of events", type="list_type")
    limit = parts.settings.max_batch_events
    if not 1 <= len(items) <= limit:
        raise InvalidEvent.at("body", "events", msg=f"must hold 1 to {limit} events", type="list_length")
    return items


def _result(result: Event | Exception) -> dict[str, Any]:
    if isinstance(result, Event):
        return {"status": 200, "event": result.as_answer()}
    return problem_from(result).as_item()
