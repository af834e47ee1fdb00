"""``GET {prefix}/events/funnel``: how far sessions got, step by step."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.responses import Response

from tk_analytics_mw.asking import offered, question
from tk_analytics_mw.errors import InvalidEvent
from tk_analytics_mw.event_types import EventType, EventTypes
from tk_analytics_mw.figure_parameters import Duration, RecentParameters
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.figures import figures_of
from tk_analytics_mw.waiting import Waits

STEPS: Final = (
    EventType.SESSION_START,
    EventType.CONFIGURATION_START,
    EventType.CONFIGURATION_ATTRIBUTE_SET,
    EventType.CART_ADD,
    EventType.ORDERED,
)
"""If nobody says which."""

MAX_STEPS: Final = 20


class FunnelParameters(RecentParameters):
    """Which events, and which steps."""

    steps: Annotated[
        str,
        Field(max_length=4000, description="Event types between commas, in any spelling: the steps in their order."),
    ] = ",".join(STEPS)
    within: Annotated[
        Duration | None,
        Field(
            description="How long a session may take for all steps: seconds, or 90s, 30m, 12h, 7d. Default: for ever."
        ),
    ] = None


async def count_funnel(request: Request, parts: Parts, waits: Waits) -> Response:
    """Answer with the sessions that reached each step."""
    asked = await question(request, parts, waits, FunnelParameters)
    figures = offered(figures_of, parts)
    wanted = asked.parameters
    steps = _steps(wanted.steps, parts.event_types)
    if wanted.event_type is not None:
        raise InvalidEvent.at("query", "eventType", msg="the steps say which event types: leave it out")
    filter_ = wanted.as_recent_filter(asked.org_id, parts.event_types)
    reached = await waits.read(figures.funnel, filter_, steps, wanted.within)
    rows: list[dict[str, Any]] = []
    for number, (event_type, step) in enumerate(zip(steps, reached, strict=True)):
        rows.append(
            {
                "eventType": event_type,
                "sessions": step.sessions,
                "conversion": _ratio(step.sessions, reached[0].sessions),
                "fromPrevious": _ratio(step.sessions, reached[max(number - 1, 0)].sessions),
                "medianSeconds": None if step.median is None else _seconds(step.median),
            }
        )
    within = None if wanted.within is None else _seconds(wanted.within)
    return json_response({**wanted.said_of_times(filter_), "within": within, "steps": rows})


def _steps(text: str, types: EventTypes) -> list[str]:
    steps = [types.canonical(part.strip()) for part in text.split(",")]
    if None in steps:
        known = ", ".join(map(repr, types.known))
        raise InvalidEvent.at("query", "steps", msg=f"holds what is no event type; known are {known}", type="enum")
    if len(steps) > MAX_STEPS:
        raise InvalidEvent.at("query", "steps", msg=f"must be at most {MAX_STEPS}")
    return [step for step in steps if step is not None]


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _seconds(duration: timedelta) -> float:
    return round(duration.total_seconds(), 4)
