"""Sessions, through every face."""

from __future__ import annotations

from tests.contract.test_reads import ask, created
from tests.hosts.base import RIVAL_PRIVATE, Host


def test_a_session_is_its_events_in_order(host: Host) -> None:
    events = [
        created(host, sessionId="one", eventType="product session start"),
        created(host, sessionId="one", eventType="product cart-add"),
        created(host, sessionId="one", eventType="produce cart-add"),
        created(host, sessionId="one", eventType="product ordered"),
    ]
    created(host, sessionId="two")
    created(host, sessionId="one", orgId="rival")
    reply = ask(host, "sessions/one").json
    assert reply["sessionId"] == "one"
    assert (reply["firstEventAt"], reply["lastEventAt"]) == (events[0]["createdAt"], events[-1]["createdAt"])
    assert reply["duration"] >= 0
    assert reply["events"] == 4
    assert reply["steps"] == ["product session start", "product cart-add", "product ordered"]
    assert [event["id"] for event in reply["timeline"]] == [event["id"] for event in events]
    assert "cursor" not in reply
    part = ask(host, "sessions/one", perPage=3).json
    rest = ask(host, "sessions/one", perPage=3, cursor=part["cursor"]).json
    assert part["timeline"] + rest["timeline"] == reply["timeline"]


def test_a_session_of_another_organisation_is_not_there(host: Host) -> None:
    created(host, sessionId="one")
    assert ask(host, "sessions/one", token=RIVAL_PRIVATE).status == 404
    assert ask(host, "sessions/two").status == 404
    assert ask(host, "sessions", token=RIVAL_PRIVATE).json["sessions"] == []


def test_any_text_is_the_id_of_a_session(host: Host) -> None:
    for id_ in ("a/b", "a b", "events"):
        created(host, sessionId=id_)
        assert ask(host, f"sessions/{id_}").json["sessionId"] == id_


def test_sessions_are_listed_by_their_latest_event(host: Host) -> None:
    for session_id in ("a", "b", "c", "a", "d", "b"):
        created(host, sessionId=session_id)
    reply = ask(host, "sessions").json
    assert [(session["sessionId"], session["events"]) for session in reply["sessions"]] == [
        ("b", 2),
        ("d", 1),
        ("a", 2),
        ("c", 1),
    ]
    seen, parameters = [], {}
    while True:
        reply = ask(host, "sessions", perPage=1, **parameters).json
        seen += [session["sessionId"] for session in reply["sessions"]]
        if "cursor" not in reply:
            break
        parameters = {"cursor": reply["cursor"]}
    assert seen == ["b", "d", "a", "c"]


def test_sessions_are_those_with_such_events(host: Host) -> None:
    created(host, sessionId="a", assetId="chair")
    created(host, sessionId="b", assetId="chair")
    created(host, sessionId="a")
    [first, second] = ask(host, "sessions", assetId="chair").json["sessions"]
    assert (first["sessionId"], first["events"], second["sessionId"]) == ("b", 1, "a")
