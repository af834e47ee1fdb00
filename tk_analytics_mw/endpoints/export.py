"""``GET {prefix}/events/export``: all events of a filter, streamed."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from tk_analytics_mw.asking import question
from tk_analytics_mw.exports import CONTENT_TYPES, Format, chunks_of, writer_of
from tk_analytics_mw.messages import Request, Streamed
from tk_analytics_mw.parameters import FilterParameters
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.waiting import Waits


class ExportParameters(FilterParameters):
    """Which events, and in what format."""

    format: Annotated[
        Format, Field(description="ndjson: events as the API returns them, one a line. csv, parquet: as columns.")
    ] = "ndjson"
    full: Annotated[
        bool,
        Field(
            description="Whether ndjson, too, has what was read from the User-Agent: deviceType, deviceFamily, system, "
            "browser; and userAgent, if that is stored."
        ),
    ] = False


async def export_events(request: Request, parts: Parts, waits: Waits) -> Response:
    """Answer with all of them, in the order of commits, as they are now."""
    asked = await question(request, parts, waits, ExportParameters)
    wanted = asked.parameters
    filter_ = wanted.as_filter(asked.org_id, parts.event_types)
    until = await waits.read(asked.reader.last_position)
    writer = await waits.read(writer_of, wanted.format, asked.reader, filter_, until, full=wanted.full)
    return Streamed(partial(chunks_of, writer, until), CONTENT_TYPES[wanted.format], filename=f"events.{wanted.format}")
