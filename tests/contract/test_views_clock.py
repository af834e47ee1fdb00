"""Views by the clocks of the world: hours that are there twice or never, weeks and years, asked through the API.

That a storage counts right is in the conformance suite; here it is what is asked of it, and how it is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hosts import AsgiAsyncio, WsgiValidate
from tests.hosts.base import EVENTS, Host
from tk_analytics_mw import Event, Principal
from tk_analytics_mw.testing import an_event
from tk_analytics_mw.testing.opened import new_organisation

START = datetime(2026, 10, 23, 18, tzinfo=timezone.utc)
"""Two days before Berlin puts its clocks back."""
DAYS = 5
QUARTER = timedelta(minutes=15)
STEPS = ["year", "month", "day", "hour"]
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"]

moments = (st.integers(0, DAYS * 86_400_000 - 1) | st.integers(0, DAYS * 24).map(lambda hour: hour * 3_600_000)).map(
    lambda milliseconds: START + timedelta(milliseconds=milliseconds)
)


def the_organisation(request: Any) -> Principal:
    return Principal(request.headers["x-organisation"])


@pytest.fixture(scope="module", params=[WsgiValidate, AsgiAsyncio], ids=lambda face: face.face)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder: Path = tmp_path_factory.mktemp("views")
    host: Host = request.param(
        folder / "analytics.db", {"authenticator": the_organisation, "durability": "relaxed"}, lambda analytics: None
    )
    yield host
    host.close()


def clock(moment: datetime, range_: str, zone: ZoneInfo) -> tuple[dict[str, int], object]:
    shown = moment.astimezone(zone)
    if range_ == "week":
        return {"year": shown.isocalendar()[0], "week": shown.isocalendar()[1]}, None
    names = {name: getattr(shown, name) for name in STEPS[: STEPS.index(range_) + 1]}
    return names, shown.utcoffset() if range_ == "hour" else None  # an hour that is there twice


def views(events: Sequence[Event], range_: str, zone: str, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """Looks at the clock every quarter of an hour, which is when clocks are changed, and at each event."""
    zone_ = ZoneInfo(zone)
    found: list[tuple[dict[str, int], object]] = []
    moment = since
    while moment < until:
        if not found or found[-1] != clock(moment, range_, zone_):
            found.append(clock(moment, range_, zone_))
        moment = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0) + QUARTER
    answer, cumulative = [], 0
    for names, change in found:
        number = sum(clock(event.created_at, range_, zone_) == (names, change) for event in events)
        cumulative += number
        answer.append({**names, "views": number, "cumulative": cumulative})
    return answer


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    times=st.lists(moments, min_size=1, max_size=12),
    asked=st.lists(
        st.tuples(
            st.sampled_from(["hour", "day", "week", "month", "year"]),
            st.sampled_from(ZONES),
            st.tuples(moments, moments).map(sorted) | st.just([START, START + timedelta(days=DAYS)]),
            st.sampled_from([{}, {"assetId": "chair"}]),
        ),
        min_size=4,
        max_size=10,
    ),
)
def test_views_are_what_the_clock_on_the_wall_says(shared: Host, times: list[datetime], asked: Any) -> None:
    org_id = new_organisation()
    first = int(org_id.partition("-")[2]) * 100
    events = [
        an_event(first + number, org_id=org_id, created_at=time, asset_id="chair" if number % 2 else "table")
        for number, time in enumerate(times)
    ]
    shared.analytics.find_parts().storage.write(events)
    for range_, zone, (since, until), wanted in asked:
        times_ = {"startDate": since.isoformat(), "endDate": until.isoformat()}
        query = urlencode({**wanted, **times_, "range": range_, "timezone": zone})
        reply = shared.request("GET", f"{EVENTS}/views", query=query, headers={"X-Organisation": org_id})
        assert reply.status == 200, reply.body
        found = [{name: each for name, each in view.items() if name != "start"} for view in reply.json["views"]]
        counted = [
            event
            for event in events
            if since <= event.created_at < until and (not wanted or event.asset_id == wanted["assetId"])
        ]
        assert found == views(counted, range_, zone, since, until)
