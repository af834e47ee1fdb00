"""Figures through every face: what they are asked, what they answer, and to whom."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from tests.conftest import MakeHost
from tests.contract.test_reads import ask, created
from tests.hosts.base import EVENTS, PRIVATE, PUBLIC, RIVAL_PRIVATE, SHOP, Host, an_event, without

SET = "product configuration attribute set"
FIGURES = [("views", {}), ("funnel", {"steps": SET}), ("breakdown", {"by": "assetId"}), ("attributes", {})]


def a_session(host: Host, session: str, *types: str, **fields: Any) -> None:
    for event_type in types:
        created(host, sessionId=session, eventType=event_type, **fields)


def test_views_have_the_shape_that_the_published_client_parses(host: Host) -> None:
    now = datetime.now(timezone.utc)
    created(host)
    created(host)
    for range_, names in {"year": ["year"], "month": ["year", "month"], "day": ["year", "month", "day"]}.items():
        answer = ask(host, "views", range=range_).json
        [view] = answer["views"][-1:]
        assert [*view] == [*names, "views", "cumulative"]
        assert view == {**{name: getattr(now, name) for name in names}, "views": 2, "cumulative": 2}
        assert (answer["page"], answer["sort"], answer["count"]) == (1, "createdAt", 1)


def test_days_without_an_event_are_there(host: Host) -> None:
    answer = ask(host, "views", subStartDate="2026-03-28", endDate="2026-04-02").json
    assert [(view["month"], view["day"], view["views"]) for view in answer["views"]] == [
        (3, 28, 0),
        (3, 29, 0),
        (3, 30, 0),
        (3, 31, 0),
        (4, 1, 0),
        (4, 2, 0),
    ]


def test_a_page_of_views_goes_on_counting(host: Host) -> None:
    created(host)
    today = datetime.now(timezone.utc).date()
    dates = {"startDate": "2026-01-01", "endDate": str(today)}
    whole = ask(host, "views", **dates).json["views"]
    page = ask(host, "views", **dates, page=2, perPage=len(whole) - 1).json
    assert page["views"] == whole[-1:]
    assert page["views"][0]["cumulative"] == 1
    assert page["count"] == len(whole)


def test_the_hour_that_is_there_twice_is_told_apart_by_its_start(host: Host) -> None:
    day = {"startDate": "2026-10-25", "endDate": "2026-10-25", "timezone": "Europe/Berlin"}
    views = ask(host, "views", range="hour", **day).json["views"]
    assert len(views) == 25
    assert [view["start"] for view in views if view["hour"] == 2] == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
    ]


def test_a_funnel_is_that_of_a_configurator_unless_somebody_says_otherwise(host: Host) -> None:
    every = ["product session start", "product configuration start", SET, "product cart-add", "product ordered"]
    a_session(host, "s-1", *every)
    a_session(host, "s-2", *every[:3])
    a_session(host, "s-3", "product cart-add", "product session start")
    steps = ask(host, "funnel").json["steps"]
    assert [step["eventType"] for step in steps] == every
    assert [step["sessions"] for step in steps] == [3, 2, 2, 1, 1]
    assert [step["conversion"] for step in steps] == [1.0, 0.666667, 0.666667, 0.333333, 0.333333]
    assert steps[0]["medianSeconds"] is None
    assert 0 <= steps[1]["medianSeconds"] < 60
    spelt = ask(host, "funnel", steps="produce cart-add, production session start", within="1h").json
    assert [step["sessions"] for step in spelt["steps"]] == [2, 1]
    assert spelt["within"] == 3600


def test_a_breakdown_shows_the_commonest_and_the_rest_together(host: Host) -> None:
    for asset, number in {"chair": 3, "table": 2, "sofa": 1}.items():
        for count in range(number):
            created(host, assetId=asset, sessionId=f"s-{count}", userId="u-1", metric=10)
    answer = ask(host, "breakdown", by="assetId", top=1).json
    assert answer["by"] == "assetId"
    assert answer["groups"] == [{"value": "chair", "events": 3, "sum": 30, "mean": 10, "sessions": 3, "users": 1}]
    assert answer["other"] == {"values": 2, "events": 3, "sum": 30, "mean": 10, "sessions": 2, "users": 1}
    assert answer["total"] == {"events": 6, "sum": 60, "mean": 10, "sessions": 3, "users": 1}


def test_attributes_say_what_became_of_a_choice(host: Host) -> None:
    blue, red = {"Fabric": "Blue", "Size": {"b": 1, "a": 2}}, {"Fabric": "Red"}
    a_session(host, "s-1", SET, configuration=blue)
    a_session(host, "s-1", SET, configuration=red)
    a_session(host, "s-1", "product cart-add")
    a_session(host, "s-2", SET, configuration=blue)
    a_session(host, "s-2", "product cart-add", "product ordered", configuration={"Fabric": "Blue"})
    fabric, size = ask(host, "attributes").json["attributes"]
    assert (fabric["attribute"], fabric["sessions"], fabric["otherValues"]) == ("Fabric", 2, 0)
    assert fabric["values"] == [
        {"value": "Blue", "sessions": 2, "carts": 1, "orders": 1},
        {"value": "Red", "sessions": 1, "carts": 1, "orders": 0},
    ]
    assert size["values"] == [{"value": {"a": 2, "b": 1}, "sessions": 2, "carts": 0, "orders": 0}]


@pytest.mark.parametrize(("below", "parameters"), FIGURES)
def test_figures_are_for_private_tokens_and_their_own_organisation(
    host: Host, below: str, parameters: dict[str, Any]
) -> None:
    created(host, assetId="chair", eventType="product session start")  # where the funnel begins
    created(host, assetId="chair", eventType=SET, configuration={"Fabric": "Blue"})
    path = f"{EVENTS}/{below}"
    assert host.request("GET", path).status == 401
    assert host.request("GET", path, query=f"bearer_token={PUBLIC}", headers={"Origin": SHOP}).status == 403
    assert ask(host, below, **parameters, orgId="rival").status == 403
    ours, theirs = (ask(host, below, token=token, **parameters) for token in (PRIVATE, RIVAL_PRIVATE))
    assert (ours.status, theirs.status) == (200, 200)
    assert "chair" not in theirs.body.decode()
    assert "Blue" not in theirs.body.decode()
    assert without(ours.json, "since", "until") != without(theirs.json, "since", "until")
    assert host.request("POST", path, body=an_event()).status == 405


@pytest.mark.parametrize(
    ("below", "parameters", "name"),
    [
        ("views", {"range": "decade"}, "range"),
        ("views", {"timezone": "Europe/Atlantis"}, "timezone"),
        ("views", {"timezone": "../../etc/passwd"}, "timezone"),
        ("views", {"timezone": "Europe"}, "timezone"),
        ("views", {"range": "hour", "startDate": "2000-01-01"}, "range"),
        ("views", {"range": "year", "startDate": "9999-01-01", "endDate": "9999-12-30"}, "endDate"),
        ("funnel", {"steps": "product lost"}, "steps"),
        ("funnel", {"steps": ""}, "steps"),
        ("funnel", {"steps": ",".join(["product ordered"] * 21)}, "steps"),
        ("funnel", {"within": "soon"}, "within"),
        ("funnel", {"within": "0"}, "within"),
        ("funnel", {"eventType": "product ordered"}, "eventType"),
        ("breakdown", {}, "by"),
        ("breakdown", {"by": "user"}, "by"),
        ("breakdown", {"by": "metadata."}, "by"),
        ("breakdown", {"by": "assetId", "top": 501}, "top"),
        ("attributes", {"eventType": "product ordered"}, "eventType"),
    ],
)
def test_bad_parameters_are_named(host: Host, below: str, parameters: dict[str, Any], name: str) -> None:
    reply = ask(host, below, **parameters)
    assert (reply.status, reply.locs) == (422, [["query", name]])


class Silent:
    """Keeps nothing."""

    def write(self, events: Any) -> None: ...

    def close(self) -> None: ...


def test_a_storage_that_gives_no_figures_says_so(make_host: MakeHost) -> None:
    reply = ask(make_host(storage=Silent()), "funnel")
    assert reply.status == 501
    assert "Silent" in reply.json["detail"]
