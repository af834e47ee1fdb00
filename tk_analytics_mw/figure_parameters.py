"""Query parameters of the figures: a time zone, a duration, and the last thirty days if nobody says when."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, InstanceOf, WithJsonSchema
from pydantic_core import PydanticCustomError

from tk_analytics_mw.event_types import EventTypes
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.parameters import FilterParameters
from tk_analytics_mw.queries import Filter

RECENT: Final = timedelta(days=30)
"""How far a figure looks back if nobody says since when."""

MAX_DURATION: Final = timedelta(days=3650)

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", re.ASCII)
_ZONE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,60}", re.ASCII)


@lru_cache(maxsize=128)
def _zone_named(name: str) -> tzinfo | None:
    if name == "UTC":
        return timezone.utc  # is there where no data on time zones are
    try:
        # A name, never a path: zoneinfo itself refuses those that leave its folder.
        return ZoneInfo(name) if _ZONE_NAME.fullmatch(name) else None
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder
        return None


def _zone(value: Any) -> Any:
    found = _zone_named(value) if isinstance(value, str) else value
    if found is None:
        raise PydanticCustomError(
            "time_zone",
            "must be UTC, or a time zone that this machine knows, such as Europe/Berlin (where it knows none: "
            "pip install tzdata)",
        )
    return found


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    duration = timedelta(seconds=float(found[1]) * _UNITS[found[2]]) if found else timedelta(0)
    if not timedelta(0) < duration <= MAX_DURATION:
        raise PydanticCustomError("duration", "must be seconds, or 90s, 30m, 12h, 7d; at most ten years")
    return duration


_TEXT: Final = {"type": "string", "maxLength": 64}
Zone = Annotated[InstanceOf[tzinfo], BeforeValidator(_zone), WithJsonSchema({**_TEXT, "examples": ["Europe/Berlin"]})]
Duration = Annotated[timedelta, BeforeValidator(_duration), WithJsonSchema({**_TEXT, "examples": ["30m"]})]


class ZoneParameters(FilterParameters):
    """Which events, and whose clock."""

    timezone: Annotated[
        Zone, Field(validate_default=True, description="Whose clock says when a day begins, such as Europe/Berlin.")
    ] = "UTC"  # type: ignore[assignment]


class RecentParameters(ZoneParameters):
    """Which events; of the last thirty days if there is no startDate."""

    def as_recent_filter(self, org_id: str, types: EventTypes) -> Filter:
        """The filter that they describe, with both times.

        Raises:
            InvalidEvent: as :meth:`~tk_analytics_mw.parameters.FilterParameters.as_filter`.
        """
        wanted = self.as_filter(org_id, types, self.timezone)
        until = wanted.until or max(datetime.now(timezone.utc), wanted.since or _FIRST)
        since = wanted.since or (until - RECENT if until - _FIRST > RECENT else _FIRST)
        return Filter(org_id, wanted.equals, wanted.metadata, since, until)

    def said_of_times(self, wanted: Filter) -> dict[str, Any]:
        """What an answer says of the time that it is about."""
        return {
            "since": None if wanted.since is None else timestamp(wanted.since),
            "until": None if wanted.until is None else timestamp(wanted.until),
            "timezone": str(self.timezone),
        }


_FIRST: Final = datetime.min.replace(tzinfo=timezone.utc)
