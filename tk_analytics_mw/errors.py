"""Every error of this package, and the HTTP status it becomes.

    AnalyticsError
    ├── ConfigurationError      a setting is unknown or invalid; raised at start-up
    ├── InvalidEvent            422: an event, or a part of the request, does not hold what it must
    ├── Reject                  422: raised by host code in a ``before_store`` function
    ├── Drop                    200: raised by host code there; nothing is stored
    ├── Refused                 401, 403, 411, 413, 415, ...: the request may not do this
    ├── StorageUnavailable      503: nothing was acknowledged, the client may send again
    ├── ReadTooLong             503: a question that takes too long to answer
    ├── Retry                   raised by a durable hook: not now, again later
    ├── AddressRefused          a webhook's host may not be called, or has no address
    ├── Discard                 raised by a durable hook: not this delivery, ever
    └── SwitchOff               raised by a durable hook: no further delivery

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


class Drop(AnalyticsError):
    """Raise this in a ``before_store`` function to take no note of an event: the client gets 200, as if it were stored.

    For consent, sampling and bots: what asks for no answer other than yes. No hook is called, and nothing is kept:
    the same event sent again is another one, ``Idempotency-Key`` or not.

    Args:
        reason: it is counted under, see :attr:`Analytics.dropped <tk_analytics_mw.Analytics.dropped>`; one of a few.
    """

    def __init__(self, reason: str = "dropped by the host application") -> None:
        self.reason = reason
        super().__init__(reason)


class Refused(AnalyticsError):
    """The request is refused with ``status``; ``detail`` tells the client why and what to do.

    Args:
        status: HTTP status, 401 unless said otherwise.
        detail: told to the client.
        headers: further answer headers, such as ``{"Allow": "POST"}``.
        reason: in two or three fixed words: what such refusals are counted under. Default: by the status.
    """

    def __init__(
        self, detail: str, *, status: int = 401, headers: Mapping[str, str] | None = None, reason: str | None = None
    ) -> None:
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.reason = reason
        super().__init__(detail)

    @classmethod
    def for_now(cls, what: str) -> Refused:
        """The refusal of what cannot be checked, 503: a check that could not be made was not passed."""
        return cls(f"{what}: try again.", status=503, headers={"Retry-After": "1"})


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


class ReadTooLong(AnalyticsError):
    """A question was given up because its answer took too long.

    Args:
        seconds: it was given.
        counted: the part of what it needs that is counted now, from 0 to 1, if that is kept: who asks again comes
            further.
    """

    def __init__(self, seconds: float, *, counted: float | None = None) -> None:
        self.seconds = seconds
        self.counted = counted
        super().__init__(seconds)

    def __str__(self) -> str:
        if self.counted is not None:
            return f"the answer takes more than {self.seconds:g} s; {self.counted:.0%} is counted and kept: ask again"
        return f"the answer takes more than {self.seconds:g} s: ask for less, a shorter time say"


class Retry(AnalyticsError):
    """Raise this in a durable hook to have the delivery tried again. It counts as an attempt.

    Args:
        after: seconds from now; the usual delay if it is not given.
        hold: call the function for no other delivery before then either, for five minutes at most. For what is
            wrong with all of them: a mail server that is away, a receiver that asks for fewer requests.
        why: kept with the delivery.
    """

    def __init__(self, why: str = "asked to be tried again", *, after: float | None = None, hold: bool = False) -> None:
        self.after = after
        self.hold = hold
        super().__init__(why)


class AddressRefused(AnalyticsError):
    """A host may not be called, because of where it leads, or could not be found.

    Args:
        why: without any part of a URL but the host.
    """


class Discard(AnalyticsError):
    """Raise this in a durable hook to have the delivery never tried again.

    Args:
        why: kept with the delivery.
    """


class SwitchOff(AnalyticsError):
    """Raise this in a durable hook to have its whole subscription switched off, until somebody switches it on again.

    What waits goes on waiting, this delivery included; what is stored meanwhile is added to it.

    Args:
        why: kept with the subscription, and logged.
    """
