"""Periods: what the wall clock shows, with all that people have done to clocks."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tk_analytics_mw.periods import SHORTEST, Range, periods

UTC = timezone.utc
RANGES: tuple[Range, ...] = get_args(Range)
# Summer time in March and October, by half an hour, at midnight; offsets of 30 and 45 minutes; a day left out.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "America/St_Johns",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
]


def names(range_: Range, moment: datetime, zone: ZoneInfo) -> dict[str, int]:
    """What a moment's period is called, from the clock alone."""
    shown = moment.astimezone(zone)
    if range_ == "week":
        return {"year": shown.isocalendar()[0], "week": shown.isocalendar()[1]}
    every = {"year": shown.year, "month": shown.month, "day": shown.day, "hour": shown.hour}
    return dict(list(every.items())[: ["year", "month", "day", "hour"].index(range_) + 1])


moments = st.integers(1_100_000_000, 2_100_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@settings(max_examples=100, deadline=None)
@given(
    since=moments,
    hours=st.integers(1, 24 * 400),
    range_=st.sampled_from(RANGES),
    zone=st.sampled_from(ZONES),
    within=st.floats(0, 1, exclude_max=True),
)
def test_every_moment_is_in_the_one_period_that_the_clock_says(
    since: datetime, hours: int, range_: Range, zone: str, within: float
) -> None:
    zone_ = ZoneInfo(zone)
    hours = min(hours, 24 * 60) if range_ == "hour" else hours
    until = since + timedelta(hours=hours)
    found = list(periods(range_, since, until, zone_))
    assert found[0].start <= since < found[0].end
    assert found[-1].start < until <= found[-1].end
    assert all(before.end == after.start for before, after in pairwise(found)), "no gap"
    moment = since + within * (until - since)
    [period] = [each for each in found if each.start <= moment < each.end]
    assert period.names == names(range_, moment, zone_)
    assert names(range_, period.end - timedelta(microseconds=1), zone_) == period.names
    if range_ != "hour":
        assert len({tuple(each.names.values()) for each in found}) == len(found), "no day is there twice"


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 29), [*range(2), *range(3, 24)]),
        ("Europe/Berlin", (2026, 10, 25), [0, 1, 2, 2, *range(3, 24)]),
        ("Australia/Lord_Howe", (2026, 4, 5), [0, 1, 1, *range(2, 24)]),
        ("Africa/Cairo", (2026, 4, 24), [*range(1, 24)]),
    ],
)
def test_the_hours_of_a_day_on_which_the_clock_is_changed(
    zone: str, day: tuple[int, int, int], hours: list[int]
) -> None:
    zone_ = ZoneInfo(zone)
    start = datetime(*day, tzinfo=zone_)
    since, until = (moment.astimezone(UTC) for moment in (start, start + timedelta(days=1)))
    found = list(periods("hour", since, until, zone_))
    assert [period.names["hour"] for period in found] == hours
    [whole] = periods("day", since, until, zone_)
    assert (whole.start, whole.end) == (found[0].start, found[-1].end)


def test_a_day_that_was_left_out_is_left_out() -> None:
    found = periods(
        "day", datetime(2011, 12, 29, tzinfo=UTC), datetime(2012, 1, 1, tzinfo=UTC), ZoneInfo("Pacific/Apia")
    )
    assert [period.names["day"] for period in found] == [28, 29, 31, 1]


def test_weeks_begin_on_monday_and_belong_to_the_year_that_has_most_of_them() -> None:
    since = datetime(2026, 12, 30, tzinfo=UTC)
    found = list(periods("week", since, since + timedelta(days=7), UTC))
    assert [period.names for period in found] == [{"year": 2026, "week": 53}, {"year": 2027, "week": 1}]
    assert found[0].start == datetime(2026, 12, 28, tzinfo=UTC)


@pytest.mark.parametrize("range_", RANGES)
def test_nothing_is_shorter_than_it_is_said_to_be(range_: Range) -> None:
    since = datetime(2024, 1, 1, tzinfo=UTC)
    found: list[Any] = list(periods(range_, since, since + timedelta(days=800), ZoneInfo("Europe/Berlin")))
    assert min(period.end - period.start for period in found) >= SHORTEST[range_]


def test_beyond_the_calendar_there_is_nothing() -> None:
    with pytest.raises(OverflowError):
        list(periods("year", datetime(9999, 5, 1, tzinfo=UTC), datetime(9999, 6, 1, tzinfo=UTC), UTC))
