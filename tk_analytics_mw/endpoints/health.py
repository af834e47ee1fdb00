"""``GET {prefix}/healthcheck``: is anybody there?"""

from __future__ import annotations

from starlette.responses import Response

from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.waiting import Waits


async def healthcheck(_request: Request, _parts: Parts, _waits: Waits) -> Response:
    """Answer ``true``."""
    return json_response(True)
