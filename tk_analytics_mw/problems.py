"""From an error to what the client is told: the one place that knows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import Response

from tk_analytics_mw.errors import FieldError, InvalidEvent, ReadTooLong, Refused, Reject, StorageUnavailable
from tk_analytics_mw.messages import MAX_ERRORS, problem_response

logger: Final = logging.getLogger("tk_analytics_mw")


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, in the terms of RFC 9457."""

    status: int
    detail: str
    errors: Sequence[FieldError] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def as_response(self) -> Response:
        """The answer to a request."""
        return problem_response(self.status, self.detail, errors=self.errors, headers=self.headers)

    def as_item(self) -> dict[str, Any]:
        """The result of one event of a batch."""
        item: dict[str, Any] = {"status": self.status, "detail": self.detail}
        if self.errors is not None:
            item["errors"] = list(self.errors[:MAX_ERRORS])
        return item


def problem_from(error: Exception) -> Problem:
    """Say what a client is told of ``error``. What it is not told is logged."""
    match error:
        case InvalidEvent():
            return Problem(422, "The request holds invalid values; errors says which.", errors=error.errors)
        case Reject():
            return Problem(422, error.reason, errors=[FieldError(loc=["body"], msg=error.reason, type="rejected")])
        case Refused():
            headers = {"WWW-Authenticate": 'Bearer realm="analytics"'} if error.status == 401 else {}
            return Problem(error.status, error.detail, headers={**headers, **error.headers})
        case StorageUnavailable():
            return Problem(
                503,
                "The storage is not available now; nothing was acknowledged. Send the same request again.",
                headers={"Retry-After": str(error.retry_after)},
            )
        case ReadTooLong(counted=float(counted)):
            return Problem(
                503,
                f"The answer takes more than {error.seconds:g} s the first time. {counted:.0%} of what it needs is "
                "counted now, and kept: ask again.",
                headers={"Retry-After": "1"},
            )
        case ReadTooLong():
            return Problem(503, f"The answer takes more than {error.seconds:g} s: ask for a shorter time, or for less.")
        case _:
            logger.error("the request failed", exc_info=error)
            return Problem(500, "The server failed to handle the request; its log says why.")
