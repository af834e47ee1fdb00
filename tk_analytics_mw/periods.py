"""Hours, days, weeks, months and years of a time zone, as moments in UTC.

A period begins where the wall clock of its zone shows its first moment. A day may have 23, 24 or 25 hours; an hour
that the clock shows twice is two periods.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final, Literal

Range = Literal["hour", "day", "week", "month", "year"]

SHORTEST: Final[dict[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(hours=23),
    "week": timedelta(days=7, hours=-1),
    "month": timedelta(days=28, hours=-1),
    "year": timedelta(days=365, hours=-1),
}
"""At least so long is a period, but for the hour in which a clock is put back by half of one."""

_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """One hour, day, week, month or year.

    Attributes:
        start: its first moment, in UTC.
        end: the first moment of the next one.
        names: what it is called: ``year`` and, as far as they make sense, ``month``, ``week``, ``day``, ``hour``.
            Weeks are those of ISO 8601: they begin on Monday, and their year is the one that most of them is in.
    """

    start: datetime
    end: datetime
    names: dict[str, int]


def periods(range_: Range, since: datetime, until: datetime, zone: tzinfo) -> Iterator[Period]:
    """The periods that have a part in ``since`` to ``until``, without a gap.

    Args:
        range_: of each.
        since: the first moment, in UTC.
        until: the moment after the last one, in UTC.
        zone: whose clock counts.

    Raises:
        OverflowError: one of them is beyond the years 1 to 9999.
    """
    if since >= until:
        return
    edges = _hour_edges(since, until, zone) if range_ == "hour" else _date_edges(range_, since, until, zone)
    start = next(edges)
    for end in edges:
        if end > max(since, start):  # Samoa had no 30 December 2011
            yield Period(start, end, _names(range_, start, zone))
        start = end


def start_of(day: date, zone: tzinfo) -> datetime:
    """The first moment of a day, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(timezone.utc)


def _date_edges(range_: Range, since: datetime, until: datetime, zone: tzinfo) -> Iterator[datetime]:
    day = _first_day(range_, since.astimezone(zone).date())
    while True:
        edge = start_of(day, zone)
        yield edge
        if edge >= until:
            return
        day = _next(range_, day)


def _first_day(range_: Range, day: date) -> date:
    if range_ == "week":
        return day - timedelta(days=day.weekday())
    if range_ == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if range_ == "year" else day


def _next(range_: Range, day: date) -> date:
    if range_ == "year":
        return day.replace(year=day.year + 1) if day.year < date.max.year else _beyond()
    if range_ == "month":
        return _first_day("month", day + timedelta(days=31))
    return day + timedelta(days=7 if range_ == "week" else 1)


def _beyond() -> date:
    raise OverflowError("beyond the calendar")


def _hour_edges(since: datetime, until: datetime, zone: tzinfo) -> Iterator[datetime]:
    edge = start_of(since.astimezone(zone).date(), zone)  # a day begins with an hour
    while True:
        yield edge
        if edge >= until:
            return
        shown = edge.astimezone(zone)
        following = edge + _HOUR - timedelta(minutes=shown.minute, seconds=shown.second)
        if following.astimezone(zone).utcoffset() != shown.utcoffset():
            following = _change(edge, following, zone)
        edge = following


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """When the clock is put forward or back, to the second."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle -= timedelta(microseconds=middle.microsecond)
        if middle == before:
            break
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _names(range_: Range, start: datetime, zone: tzinfo) -> dict[str, Any]:
    shown = start.astimezone(zone)
    if range_ == "week":
        year, week, _ = shown.isocalendar()
        return {"year": year, "week": week}
    names = {"year": shown.year, "month": shown.month, "day": shown.day, "hour": shown.hour}
    return {name: names[name] for name in ("year", "month", "day", "hour")[: _DEPTH[range_]]}


_DEPTH: Final = {"year": 1, "month": 2, "day": 3, "hour": 4}
