"""What was refused, and why: counted and sampled on every face, told to whom it concerns."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

from tests.commands import said
from tests.hosts.base import (
    BATCH,
    EXPIRED,
    PRIVATE,
    PUBLIC,
    RIVAL_PRIVATE,
    RIVAL_PUBLIC,
    RIVAL_SHOP,
    SHOP,
    TOKENS,
    Host,
    an_event,
)
from tk_analytics_mw import Analytics, Drop, Event, Reject

PATH = "/api/analytics/refusals"


def counts(host: Host, **asked: str) -> Counter[tuple[str, str, str]]:
    """Organisation, reason and origin, as the operator sees them."""
    host.analytics.close()  # what was gathered is written
    found = said(host, "refusals", *(word for name, value in asked.items() for word in (f"--{name}", value)))
    return Counter({(each["org_id"], each["reason"], each["origin"]): each["count"] for each in found["counts"]})


def ask(host: Host, token: str = PRIVATE, query: str = "") -> Any:
    reply = host.request("GET", PATH, query=query, headers={"Authorization": f"Bearer {token}"})
    assert reply.status == 200, reply.body
    return reply.json


def test_each_refusal_is_counted_by_reason_token_and_origin(host: Host) -> None:
    for _ in range(3):
        host.from_page(an_event(), origin="https://foreign.example")
    host.from_page(an_event(eventType="?"))
    host.from_page(an_event(orgId="rival"))
    host.from_server(an_event(), headers={"Origin": SHOP})
    host.from_server(an_event(), token=EXPIRED)
    host.from_server(an_event(), token="nobody")
    host.from_page(an_event(), token=PRIVATE, origin=None)
    host.request("POST", "/api/analytics/events", body=an_event(), headers={"Origin": "HTTPS://Foreign.example"})
    host.request("POST", "/api/analytics/events", body=an_event(), headers={"Origin": "<script>"})
    host.request("GET", "/api/analytics/nothing")
    assert host.from_page(an_event()).status == 200
    assert counts(host) == {
        ("acme", "domain not allowed", "https://foreign.example"): 3,
        ("acme", "invalid value", SHOP): 1,
        ("acme", "other organisation", SHOP): 1,
        ("acme", "private token in a browser", SHOP): 1,
        ("acme", "expired token", ""): 1,
        ("", "unknown token", ""): 1,
        ("acme", "private token in the query", ""): 1,
        ("", "no token", "https://foreign.example"): 1,
        ("", "no token", "(malformed)"): 1,
        ("", "no such path", ""): 1,
    }


def test_events_of_a_batch_are_counted_one_by_one(host: Host) -> None:
    events = [an_event(), {"eventType": "?"}, an_event(sessionId=" "), an_event(orgId="rival")]
    assert host.from_page({"events": events}, path=BATCH).status == 200
    assert counts(host) == {("acme", "invalid value", SHOP): 2, ("acme", "other organisation", SHOP): 1}
    paths = [each["path"] for each in ask(host)["samples"]]
    assert sorted(paths) == ["", "body.events.1.eventType", "body.events.2.sessionId"]


def test_what_the_host_rejects_and_drops_is_counted(make_host) -> None:
    def judge(event: Event) -> None:
        if event.session_id == "bad":
            raise Reject("this one not")
        if event.session_id == "quiet":
            raise Drop("no consent")

    host = make_host(register=lambda analytics: analytics.before_store(judge))
    host.from_page(an_event(sessionId="bad"))
    assert host.from_page(an_event(sessionId="quiet")).status == 200
    host.from_page({"events": [an_event(sessionId=name) for name in ("bad", "quiet", "fine")]}, path=BATCH)
    host.analytics.record("product ordered", org_id="rival", session_id="quiet")
    assert counts(host) == {
        ("acme", "rejected by the host", SHOP): 2,
        ("acme", "dropped: no consent", SHOP): 2,
        ("rival", "dropped: no consent", ""): 1,
    }


def test_an_organisation_sees_its_own_and_nobody_sees_what_has_no_known_token(host: Host) -> None:
    host.from_page(an_event(eventType="?"))
    host.from_page(an_event(orgId="rival"), token=RIVAL_PUBLIC, origin=SHOP)
    host.from_page(an_event(orgId="rival"), token="nobody", origin=RIVAL_SHOP)
    acme, rival = ask(host), ask(host, RIVAL_PRIVATE)
    assert [(each["reason"], each["count"]) for each in acme["counts"]] == [("invalid value", 1)]
    assert [(each["reason"], each["path"]) for each in acme["samples"]] == [("invalid value", "body.eventType")]
    assert [(each["reason"], each["count"]) for each in rival["counts"]] == [("domain not allowed", 1)]
    assert counts(host, org="rival") == {("rival", "domain not allowed", SHOP): 1}
    for token, query in ((PRIVATE, "orgId=rival"), (RIVAL_PRIVATE, "orgId=acme")):
        reply = host.request("GET", PATH, query=query, headers={"Authorization": f"Bearer {token}"})
        assert reply.status == 403
    assert host.request("GET", PATH, query=f"bearer_token={PUBLIC}", headers={"Origin": SHOP}).status == 403
    assert host.request("GET", PATH).status == 401


def test_bad_parameters_are_refused(host: Host) -> None:
    for query in ("days=0", "days=31", "days=x", "weeks=1"):
        reply = host.request("GET", PATH, query=query, headers={"Authorization": f"Bearer {PRIVATE}"})
        assert (reply.status, reply.locs) == (422, [["query", query.partition("=")[0]]])


def test_nothing_that_a_client_wrote_is_kept_but_its_origin(host: Host) -> None:
    secret = "s3cr3t-of-a-client"
    host.from_page(an_event(eventType=secret, sessionId=secret, **{secret: "x\ud800"}))
    host.from_page(f'{{"{secret}": ')
    host.request("GET", "/api/analytics/events", query=f"{secret}=1", headers={"Authorization": f"Bearer {PRIVATE}"})
    host.request("GET", f"/api/analytics/{secret}")
    host.from_server(an_event(), token=secret)
    for token in TOKENS:
        host.from_page(an_event(), token=token, origin="https://foreign.example")
    assert sum(counts(host).values()) >= 8
    with closing(sqlite3.connect(host.database)) as connection:
        dump = "\n".join(connection.iterdump())
    assert secret not in dump
    assert not [token for token in TOKENS if token in dump]


def test_the_last_hundred_samples_are_kept_and_nobody_pushes_out_another_ones(host: Host) -> None:
    host.from_page(an_event(eventType="?"))
    for number in range(250):
        host.request("POST", "/api/analytics/events", headers={"Origin": f"https://{number}.example"}, body=b"{}")
        if number % 60 == 0:
            host.analytics.close()
    assert counts(host)["", "no token", "https://249.example"] == 1
    with closing(sqlite3.connect(host.database)) as connection:
        kept = dict(connection.execute("SELECT org_id, count(*) FROM refusal_samples GROUP BY org_id").fetchall())
    assert kept == {"": 100, "acme": 1}
    newest = said(host, "refusals", "--samples", "1")["samples"]
    assert [each["origin"] for each in newest] == ["https://249.example"]


def test_refusals_are_written_without_any_further_event(host: Host, eventually) -> None:
    host.from_page(an_event(eventType="?"))
    eventually(lambda: said(host, "refusals")["counts"])
    assert host.rows() == []


def test_a_storage_that_cannot_remember_answers_501(make_host) -> None:
    class Nowhere:
        def write(self, events: Any) -> None: ...

        def close(self) -> None: ...

    host = make_host(storage=Nowhere())
    assert host.from_page(an_event(eventType="?")).status == 422
    reply = host.request("GET", PATH, headers={"Authorization": f"Bearer {PRIVATE}"})
    assert (reply.status, json.loads(reply.body)["status"]) == (501, 501)


def test_analytics_without_requests_has_nothing_to_write(tmp_path) -> None:
    analytics = Analytics(storage=f"sqlite:///{tmp_path}/analytics.db")
    analytics.close()
    assert not list(tmp_path.iterdir())
