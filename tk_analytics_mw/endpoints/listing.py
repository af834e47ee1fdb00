"""``GET {prefix}/events``: the list of events, page by page."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from starlette.responses import Response

from tk_analytics_mw.asking import question
from tk_analytics_mw.errors import InvalidEvent
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parameters import FilterParameters, cursor_of, place_of
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.queries import Order
from tk_analytics_mw.storage.reader import COUNTED, Count
from tk_analytics_mw.waiting import Waits

MAX_SKIPPED: Final = 100_000
"""Events before a page: each of them is looked at. Deeper goes with a cursor."""

_ORDERS: Final[dict[str, Order]] = {"createdAt": "oldest", "-createdAt": "newest"}


class ListParameters(FilterParameters):
    """Which events, and which part of their list."""

    page: Annotated[int, Field(ge=1, description="From 1.")] = 1
    per_page: Annotated[int, Field(ge=1, le=1000)] = 50
    sort: Annotated[Literal["createdAt", "-createdAt"], Field(description="The oldest or the newest first.")] = (
        "-createdAt"
    )
    cursor: Annotated[
        str | None, Field(max_length=200, description="From the answer before: goes on behind it, at the same cost.")
    ] = None
    exact_count: Annotated[
        bool, Field(description=f"Count all of them; else counting stops at {COUNTED} and countIsExact says so.")
    ] = False


async def list_events(request: Request, parts: Parts, waits: Waits) -> Response:
    """Answer with a part of the list."""
    asked = await question(request, parts, waits, ListParameters)
    wanted = asked.parameters
    filter_ = wanted.as_filter(asked.org_id, parts.event_types)
    skip = (wanted.page - 1) * wanted.per_page
    if skip > MAX_SKIPPED:
        raise InvalidEvent.at("query", "page", msg=f"is beyond {MAX_SKIPPED} events: go on with cursor instead")
    if wanted.cursor is not None and wanted.page != 1:
        raise InvalidEvent.at("query", "cursor", msg="says where the page begins: leave page out")
    page = await waits.read(
        asked.reader.events,
        filter_,
        _ORDERS[wanted.sort],
        limit=wanted.per_page,
        skip=skip,
        after=place_of(wanted.cursor),
    )
    if wanted.cursor is None and page.next is None and (page.events or not skip):
        count = Count(skip + len(page.events), exact=True)  # the last page says how many there are
    elif page.count is not None and (page.count.exact or not wanted.exact_count):
        count = page.count
    else:
        count = await waits.read(asked.reader.count, filter_, most=None if wanted.exact_count else COUNTED)
    answer: dict[str, Any] = {
        "page": wanted.page,
        "perPage": wanted.per_page,
        "sort": wanted.sort,
        "count": count.events,
        "countIsExact": count.exact,
        "events": [event.as_read() for event in page.events],
    }
    if page.next is not None:
        answer["cursor"] = cursor_of(page.next)
    return json_response(answer)
