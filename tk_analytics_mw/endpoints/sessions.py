"""``GET {prefix}/events/sessions`` and ``…/{sessionId}``: what happened, session by session."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from starlette.responses import Response

from tk_analytics_mw.asking import question
from tk_analytics_mw.errors import Refused
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parameters import FilterParameters, Parameters, cursor_of, place_of
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.reader import Session
from tk_analytics_mw.waiting import Waits

_Cursor = Annotated[str | None, Field(max_length=200, description="From the answer before: goes on behind it.")]


class SessionsParameters(FilterParameters):
    """Sessions that have such events."""

    per_page: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: _Cursor = None


class TimelineParameters(Parameters):
    """Which part of a session's timeline."""

    per_page: Annotated[int, Field(ge=1, le=1000)] = 200
    cursor: _Cursor = None


async def list_sessions(request: Request, parts: Parts, waits: Waits) -> Response:
    """Answer with a part of the list of sessions, the one with the latest event first."""
    asked = await question(request, parts, waits, SessionsParameters)
    wanted = asked.parameters
    filter_ = wanted.as_filter(asked.org_id, parts.event_types)
    after = place_of(wanted.cursor)
    page = await waits.read(asked.reader.sessions, filter_, limit=wanted.per_page, after=after)
    answer: dict[str, Any] = {
        "perPage": wanted.per_page,
        "sessions": [_said_of(session) for session in page.sessions],
    }
    if page.next is not None:
        answer["cursor"] = cursor_of(page.next)
    return json_response(answer)


async def read_session(request: Request, parts: Parts, waits: Waits) -> Response:
    """Answer with one session and its events, the oldest first; 404 without any."""
    asked = await question(request, parts, waits, TimelineParameters)
    wanted = asked.parameters
    after = place_of(wanted.cursor)
    session_id = request.captured["sessionId"]
    filter_ = Filter(asked.org_id, equals={"session_id": session_id})
    page = await waits.read(asked.reader.events, filter_, "oldest", limit=wanted.per_page, after=after)
    if after is None and page.next is None:  # nearly always: it is all here
        session = Session.of(page.events) if page.events else None
    else:
        session = await waits.read(asked.reader.session, asked.org_id, session_id)
    if session is None:
        raise Refused("The organisation has no session with this id.", status=404)
    answer = {
        **_said_of(session),
        "perPage": wanted.per_page,
        "timeline": [event.as_read() for event in page.events],
    }
    if page.next is not None:
        answer["cursor"] = cursor_of(page.next)
    return json_response(answer)


def _said_of(session: Session) -> dict[str, Any]:
    return {
        "sessionId": session.session_id,
        "firstEventAt": timestamp(session.first_event),
        "lastEventAt": timestamp(session.last_event),
        "duration": (session.last_event - session.first_event).total_seconds(),
        "events": session.events,
        "steps": list(session.event_types),
    }
