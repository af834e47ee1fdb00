"""One event, and the list of events, through every face."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conftest import MakeHost
from tests.hosts.base import EVENTS, PRIVATE, PUBLIC, RIVAL_PRIVATE, SHOP, Host, Reply, an_event


def ask(host: Host, below: str = "", *, token: str = PRIVATE, **parameters: Any) -> Reply:
    """Ask as the published client does: texts as they are, everything else as JSON."""
    query = urlencode({name: each if isinstance(each, str) else json.dumps(each) for name, each in parameters.items()})
    path = f"{EVENTS}/{below}" if below else EVENTS
    return host.request("GET", path, query=query, headers={"Authorization": f"Bearer {token}"})


def created(host: Host, **fields: Any) -> dict[str, Any]:
    reply = host.from_server(an_event(**fields), token=RIVAL_PRIVATE if fields.get("orgId") == "rival" else PRIVATE)
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json
    return answer


def test_an_event_is_read_as_it_was_answered(host: Host) -> None:
    event = created(host, assetId="chair", eventMetadata={"a": [1, {"b": None}]}, metric=2.5)
    reply = ask(host, event["id"])
    assert (reply.status, reply.json) == (200, event)
    assert reply.headers["cache-control"] == "no-store"


def test_the_type_is_read_in_its_canonical_spelling(host: Host) -> None:
    event = created(host, eventType="produce AR offered")
    assert event["eventType"] == "produce AR offered"
    assert ask(host, event["id"]).json["eventType"] == "product AR offered"
    assert ask(host).json["events"][0]["eventType"] == "product AR offered"


def test_an_event_of_another_organisation_is_not_there(host: Host) -> None:
    event = created(host)
    assert ask(host, event["id"], token=RIVAL_PRIVATE).status == 404
    assert ask(host, "01890000-0000-7000-8000-000000000000").status == 404
    assert ask(host, token=RIVAL_PRIVATE).json["events"] == []


@pytest.mark.parametrize("below", ["", "01890000-0000-7000-8000-000000000000"])
def test_only_a_private_token_reads(host: Host, below: str) -> None:
    path = f"{EVENTS}/{below}".rstrip("/")
    assert host.request("GET", path).status == 401
    public = host.request("GET", path, query=f"bearer_token={PUBLIC}", headers={"Origin": SHOP})
    assert public.status == 403
    assert ask(host, below, orgId="rival").status == 403
    assert ask(host, below, orgId="showroom").status == 403


def test_the_list_is_a_page_of_the_newest(host: Host) -> None:
    events = [created(host, sessionId=f"s-{number}") for number in range(5)]
    reply = ask(host, page=1, perPage=2).json
    assert (reply["page"], reply["perPage"], reply["sort"], reply["count"]) == (1, 2, "-createdAt", 5)
    assert reply["countIsExact"] is True
    assert reply["events"] == [events[4], events[3]]
    assert ask(host, page=3, perPage=2).json["events"] == [events[0]]
    assert ask(host, page=4, perPage=2).json["events"] == []
    assert ask(host, sort="createdAt", perPage=2).json["events"] == events[:2]


def test_a_cursor_goes_through_all_of_them(host: Host) -> None:
    events = [created(host, sessionId=f"s-{number}") for number in range(5)]
    for sort, expected in (("createdAt", events), ("-createdAt", events[::-1])):
        reply, seen = ask(host, sort=sort, perPage=2).json, []
        seen += reply["events"]
        while "cursor" in reply:
            reply = ask(host, sort=sort, perPage=2, cursor=reply["cursor"]).json
            seen += reply["events"]
        assert seen == expected


FILTERS: dict[str, Any] = {
    "eventType": "product ordered",
    "sessionId": "another",
    "assetId": "chair",
    "userId": "jo",
    "configId": "abcdefgh",
    "device": "a fridge",
    "metric": 2.5,
    "metadata": {"key": "one"},
    "referer": "https://elsewhere.example/page",
    "browser": "Firefox 115.0",
}


@pytest.mark.parametrize("name", FILTERS)
def test_every_scalar_field_is_a_filter(host: Host, name: str) -> None:
    created(host)
    body = {"eventMetadata" if name == "metadata" else name: FILTERS[name]}
    headers = {}
    if name in {"referer", "browser"}:
        body = {}
        agent = "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"
        headers = {"Referer": FILTERS["referer"]} if name == "referer" else {"User-Agent": agent}
    event = host.from_server(an_event(**body), headers=headers).json
    created(host)
    reply = ask(host, **{name: FILTERS[name]}).json
    assert (reply["events"], reply["count"]) == ([event], 1)


@pytest.mark.parametrize(
    ("metadata", "number"),
    [
        ({"n": 1}, 1),
        ({"n": 1.0}, 1),
        ({"n": True}, 1),
        ({"n": "1"}, 1),
        ({"n": None}, 1),
        ({"n": 2}, 0),
        ({"n": 1, 'odd " $. key': "x"}, 1),
        ({'odd " $. key': "x"}, 1),
        ({"missing": None}, 0),
    ],
    ids=json.dumps,
)
def test_metadata_matches_exactly(host: Host, metadata: dict[str, Any], number: int) -> None:
    for value in ({"n": 1, 'odd " $. key': "x"}, {"n": True}, {"n": "1"}, {"n": None}, {"n": {"n": 1}}):
        created(host, eventMetadata=value)
    created(host)
    assert ask(host, metadata=metadata).json["count"] == number


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("page=0", "page"),
        ("page=x", "page"),
        ("page=1&page=2", "page"),
        ("perPage=1001", "perPage"),
        ("page=1000&perPage=1000", "page"),
        ("sort=metric", "sort"),
        ("cursor=xyz", "cursor"),
        ("cursor=xyz&page=2", "cursor"),
        ("eventType=nothing", "eventType"),
        ("metadata=[]", "metadata"),
        ("metadata={", "metadata"),
        ('metadata={"a":[1]}', "metadata"),
        ("metric=NaN", "metric"),
        ("startDate=yesterday", "startDate"),
        ("endDate=2026-13-01", "endDate"),
        ("startDate=2026-01-02&endDate=2025-12-31", "endDate"),
        ("startDate=2026-01-02&subStartDate=2026-01-02", "subStartDate"),
        ("colour=red", "colour"),
        ("assetId=%00", "assetId"),
    ],
)
def test_bad_parameters_are_named(host: Host, query: str, name: str) -> None:
    reply = host.request("GET", EVENTS, query=query, headers={"Authorization": f"Bearer {PRIVATE}"})
    assert reply.status == 422
    assert reply.locs == [["query", name]]


def test_null_asks_for_nothing(host: Host) -> None:
    event = created(host)
    assert ask(host, assetId=None, page=None, metadata=None).json["events"] == [event]


def test_a_time_range_begins_with_its_first_moment_and_ends_before_its_last(host: Host) -> None:
    event = created(host)
    at = event["createdAt"]
    assert ask(host, startDate=at).json["count"] == 1
    assert ask(host, endDate=at).json["count"] == 0
    assert ask(host, startDate=at[:10], endDate=at[:10]).json["count"] == 1
    assert ask(host, subStartDate=json.dumps(at)).json["count"] == 1
    assert ask(host, endDate="2020-01-01").json["count"] == 0


def test_a_head_request_has_no_body(host: Host) -> None:
    reply = host.request("HEAD", EVENTS, headers={"Authorization": f"Bearer {PRIVATE}"})
    assert (reply.status, reply.body) == (200, b"")


class Deaf:
    """A storage that only writes."""

    def write(self, events: Any) -> None: ...

    def close(self) -> None: ...


def test_a_storage_that_only_writes_says_so(make_host: MakeHost) -> None:
    reply = ask(make_host(storage=Deaf()))
    assert reply.status == 501
    assert "Deaf" in reply.json["detail"]
