"""Every error of this package, and the HTTP status it becomes.

    AnalyticsError
    ├── ConfigurationError      a setting is unknown or invalid; raised at start-up
    ├── InvalidEvent            422: an event, or a part of the request, does not hold what it must
    ├── Reject                  422: raised by host code in a ``before_store`` function
    ├── Refused                 401, 403, 411, 413, 415, ...: the request may not do this
    └── StorageUnavailable      503: nothing was acknowledged, the client may send again

No text here ever holds a token or a value that a client sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict


class FieldError(TypedDict):
    """One entry of the ``errors`` list of a 422 answer."""

    loc: list[str | int]
    msg: str
    type: str


class AnalyticsError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(AnalyticsError, ValueError):
    """A setting is unknown or invalid. The text names it and says what to write instead."""


class InvalidEvent(AnalyticsError, ValueError):
    """What was given is not a valid event.

    Args:
        errors: what is wrong, field by field, in the shape of the 422 answer.
    """

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in self.errors))

    def __reduce__(self) -> tuple[type[InvalidEvent], tuple[list[FieldError]]]:
        return type(self), (self.errors,)

    @classmethod
    def at(cls, *loc: str | int, msg: str, type: str = "value_error") -> InvalidEvent:
        """Build the error for one place, ``InvalidEvent.at("body", "orgId", msg="...")``."""
        return cls([FieldError(loc=list(loc), msg=msg, type=type)])


class Reject(AnalyticsError):
    """Raise this in a ``before_store`` function to refuse an event: the client gets 422.

    Args:
        reason: told to the client, so keep secrets out of it.
    """

    def __init__(self, reason: str = "refused by the host application") -> None:
        self.reason = reason
        super().__init__(reason)


class Refused(AnalyticsError):
    """The request is refused with ``status``; ``detail`` tells the client why and what to do.

    Args:
        status: HTTP status, 401 unless said otherwise.
        detail: told to the client.
        headers: further answer headers, such as ``{"Allow": "POST"}``.
    """

    def __init__(self, detail: str, *, status: int = 401, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        super().__init__(detail)


class StorageUnavailable(AnalyticsError):
    """The storage cannot make events durable now: it is locked, full, away, or over its queue bound.

    A storage raises it when trying the same events one by one would not help. The client gets 503
    with ``Retry-After``. Nothing was acknowledged.

    Args:
        reason: for the log only; the client is not told.
        retry_after: seconds after which the client may send again.
    """

    def __init__(self, reason: str, *, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(reason)
