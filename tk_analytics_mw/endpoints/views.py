"""``GET {prefix}/events/views``: how many events there were, hour by hour, day by day, ..."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import accumulate
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.responses import Response

from tk_analytics_mw.asking import offered, question
from tk_analytics_mw.errors import InvalidEvent
from tk_analytics_mw.figure_parameters import ZoneParameters
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.periods import SHORTEST, Period, Range, periods
from tk_analytics_mw.storage.figures import figures_of
from tk_analytics_mw.waiting import Waits

MAX_PERIODS: Final = 10_000
"""Of one answer: a year of hours is 8,784 of them, 0.7 MB."""


class ViewsParameters(ZoneParameters):
    """Which events, and how they are counted. Without dates: from the first event until now."""

    range: Annotated[Range, Field(description="What is counted together.")] = "day"
    page: Annotated[int, Field(ge=1, description="From 1.")] = 1
    per_page: Annotated[int, Field(ge=1, le=MAX_PERIODS, description="Periods in an answer.")] = MAX_PERIODS


async def count_views(request: Request, parts: Parts, waits: Waits) -> Response:
    """Answer with the number of events of each period; those without any are there too."""
    asked = await question(request, parts, waits, ViewsParameters)
    figures = offered(figures_of, parts)
    wanted = asked.parameters
    filter_ = wanted.as_filter(asked.org_id, parts.event_types, wanted.timezone)
    since, until = filter_.since, filter_.until
    if since is None or until is None:
        now = datetime.now(timezone.utc)
        span = await waits.read(figures.span, asked.org_id)
        first, last = span or (now, now)
        since = since or min(first, until or now)
        until = until or max(now, last + timedelta(milliseconds=1), since)
    found = _periods(wanted, since, until)
    edges = [since, *(period.end for period in found[:-1]), until] if found else []
    counts = await waits.read(figures.views, filter_, edges) if found else []
    views = [
        {**_name(period, wanted), "views": count, "cumulative": cumulative}
        for period, count, cumulative in zip(found, counts, accumulate(counts), strict=True)
    ]
    skip = (wanted.page - 1) * wanted.per_page
    return json_response(
        {
            "range": wanted.range,
            "timezone": str(wanted.timezone),
            "page": wanted.page,
            "perPage": wanted.per_page,
            "sort": "createdAt",
            "count": len(views),
            "views": views[skip : skip + wanted.per_page],
        }
    )


def _periods(wanted: ViewsParameters, since: datetime, until: datetime) -> list[Period]:
    if (until - since) / SHORTEST[wanted.range] > MAX_PERIODS - 1:
        message = f"gives more than {MAX_PERIODS} periods: ask for a shorter time, or for longer periods"
        raise InvalidEvent.at("query", "range", msg=message)
    try:
        return list(periods(wanted.range, since, until, wanted.timezone))
    except OverflowError:
        raise InvalidEvent.at("query", "endDate", msg="is beyond the calendar") from None


def _name(period: Period, wanted: ViewsParameters) -> dict[str, Any]:
    if wanted.range not in ("hour", "week"):
        return dict(period.names)  # as the published client's schema has it, and nothing besides
    # An hour may be there twice, and few know week 53.
    return {**period.names, "start": period.start.astimezone(wanted.timezone).isoformat()}
