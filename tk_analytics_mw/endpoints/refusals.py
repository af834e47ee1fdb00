"""``GET {prefix}/refusals``: what was refused of an organisation's own, and why."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from pydantic import Field
from starlette.responses import Response

from tk_analytics_mw.access import authenticate, organisation_read
from tk_analytics_mw.errors import Refused
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.messages import Request, json_response
from tk_analytics_mw.parameters import Parameters, parse
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.refusals import SAMPLES, RefusalStore
from tk_analytics_mw.waiting import Waits


class RefusalParameters(Parameters):
    """What may be asked."""

    days: Annotated[int, Field(ge=1, le=30, description="Of how many days, today included.")] = 7


async def list_refusals(request: Request, parts: Parts, waits: Waits) -> Response:
    """Answer with counts and samples of requests that were made with the organisation's tokens.

    A request without a known token belongs to nobody: the operator sees it, with ``tk-analytics refusals``.
    """
    principal = await authenticate(request, parts, waits)
    organisation_read(None, principal)
    parameters = parse(request, RefusalParameters, others=bool(parts.authenticators))
    org_id = organisation_read(parameters.org_id, principal)
    if parts.refusals.store is None:
        raise Refused(f"The storage, {type(parts.storage).__name__}, does not remember refusals.", status=501)
    return json_response(await waits.read(_answer, parts, parts.refusals.store, org_id, parameters.days))


def _answer(parts: Parts, store: RefusalStore, org_id: str, days: int) -> dict[str, Any]:
    parts.refusals.write_now()
    since = datetime.now(timezone.utc).date() - timedelta(days=days - 1)
    return {
        "since": since.isoformat(),
        "counts": [
            {"token": refusal.token, "reason": refusal.reason, "origin": refusal.origin, "count": number}
            for refusal, number in store.counts(since=since, org_id=org_id)
        ],
        "samples": [
            {
                "refusedAt": timestamp(sample.refused_at),
                "token": sample.refusal.token,
                "reason": sample.refusal.reason,
                "origin": sample.refusal.origin,
                "path": sample.path,
            }
            for sample in store.samples(limit=SAMPLES, org_id=org_id)
        ],
    }
