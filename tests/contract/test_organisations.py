"""Every route, asked by everybody: none gives an organisation anything of another one.

The routes come from the table that serves them. A new one that only private tokens may read needs nothing here;
any other one fails until it is said here who may use it.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.commands import invoke, said
from tests.hosts.base import (
    EXPIRED,
    PRIVATE,
    PUBLIC,
    RIVAL_PRIVATE,
    RIVAL_PUBLIC,
    RIVAL_SHOP,
    SHOP,
    Host,
    Reply,
    default_options,
)
from tk_analytics_mw.auth import stored
from tk_analytics_mw.routes import ROUTES

FOR_ALL: Final = {"healthcheck", "openapi.json"}
CREATING: Final = {("POST", "events"), ("POST", "events/batch")}

QUERIES: Final = {"events/breakdown": "by=assetId"}
"""What a route cannot do without."""

SESSION: Final = "session-of-acme-3b1f"
SECRETS: Final = {"sessionId": SESSION, "assetId": "asset-of-acme-77c0", "userId": "user-of-acme-e2d9"}
EVENT: Final = {"eventType": "product cart-add", "orgId": "acme", **SECRETS, "eventMetadata": {"key": "value-of-acme"}}

Asking = tuple[dict[str, str], str]
"""Who asks: the headers and the query that say so."""

ASKING: Final[dict[str, Asking]] = {
    "nobody": ({}, ""),
    "public": ({"Origin": SHOP}, f"bearer_token={PUBLIC}"),
    "private": ({"Authorization": f"Bearer {PRIVATE}"}, ""),
    "expired": ({"Authorization": f"Bearer {EXPIRED}"}, ""),
    "rival": ({"Authorization": f"Bearer {RIVAL_PRIVATE}"}, ""),
    "rival_public": ({"Origin": RIVAL_SHOP}, f"bearer_token={RIVAL_PUBLIC}"),
}

EACH: Final = [(method, path) for path, methods in ROUTES.items() for method in methods]


def ask(host: Host, method: str, path: str, who: str | Asking, event_id: str, *, query: str = "") -> Reply:
    below = path.replace("{id}", event_id).replace("{sessionId:path}", SESSION)
    assert "{" not in below, f"say here what stands in {path}"
    headers, token = ASKING[who] if isinstance(who, str) else who
    body: Any = None
    if (method, path) in CREATING:
        body = {"events": [EVENT]} if path == "events/batch" else EVENT
    queries = [token, QUERIES.get(path, ""), query]
    return host.request(
        method, f"/api/analytics/{below}", query="&".join(filter(None, queries)), headers=headers, body=body
    )


def expected(method: str, path: str, who: str) -> int:
    if path in FOR_ALL:
        return 200
    if who in ("nobody", "expired"):
        return 401
    if (method, path) in CREATING:
        return 403 if who.startswith("rival") and path == "events" else 200
    if method not in ("GET", "HEAD"):
        pytest.fail(f"say here who may {method} {path}")
    if who in ("public", "rival_public"):
        return 403
    return 404 if who == "rival" and "{" in path else 200


@pytest.mark.parametrize(("method", "path"), EACH)
def test_every_route_answers_whom_it_should(host: Host, method: str, path: str) -> None:
    first = host.from_server(EVENT).json["id"]
    for who in ASKING:
        before = len(host.rows())
        reply = ask(host, method, path, who, first)
        assert reply.status == expected(method, path, who), (who, reply.body)
        shown = [secret for secret in (first, *SECRETS.values(), "value-of-acme") if secret.encode() in reply.body]
        if who not in ("private", "public"):
            assert (shown, len(host.rows())) == ([], before), who
        elif method == "GET" and who == "private" and "{" in path:
            assert first in shown, "it would have been seen"


def test_no_route_answers_who_holds_a_revoked_token(make_host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in ("FRESH", "STALE", "READ_EVERY"):  # what it takes some seconds to know is known at once
        monkeypatch.setattr(stored, seconds, -1.0)
    host = make_host(tokens=[*default_options()["tokens"], "stored"])
    first = host.from_server(EVENT).json["id"]
    public = said(host, "token", "create", "--public", "--org", "acme", "--domain", "shop.example.com")
    private = said(host, "token", "create", "--private", "--org", "acme")
    holders: list[tuple[str, Asking]] = [
        ("public", ({"Origin": SHOP}, f"bearer_token={public['token']}")),
        ("private", ({"Authorization": f"Bearer {private['token']}"}, "")),
    ]
    for kind, asking in holders:
        for method, path in EACH:
            assert ask(host, method, path, asking, first).status == expected(method, path, kind), "until it is revoked"
    assert invoke(host, "token", "revoke", public["id"], private["id"]).exit_code == 0
    before = len(host.rows())
    for _, asking in holders:
        for method, path in EACH:
            reply = ask(host, method, path, asking, first)
            assert reply.status == (200 if path in FOR_ALL else 401), (method, path)
            assert SESSION.encode() not in reply.body
    assert len(host.rows()) == before


@pytest.mark.parametrize(("method", "path"), [each for each in EACH if each[1] not in FOR_ALL])
def test_no_route_speaks_about_another_organisation(host: Host, method: str, path: str) -> None:
    first = host.from_server(EVENT).json["id"]
    reply = ask(host, method, path, "rival", first, query="orgId=acme")
    assert reply.status == 403
    assert len(host.rows()) == 1


def test_a_batch_tells_a_rival_that_the_organisation_is_not_its_own(host: Host) -> None:
    for who in ("rival", "rival_public"):
        reply = ask(host, "POST", "events/batch", who, "")
        assert [result["status"] for result in json.loads(reply.body)["results"]] == [403]
    assert host.rows() == []


@pytest.mark.parametrize("who", ["public", "private"])
def test_what_is_stored_about_a_public_organisation_is_read_by_its_own_tokens_alone(host: Host, who: str) -> None:
    headers, query = ASKING[who]
    about = {**EVENT, "orgId": "showroom"}
    created = host.request("POST", "/api/analytics/events", headers=headers, query=query, body=about)
    assert created.status == 200
    private, _ = ASKING["private"]
    assert host.request("GET", f"/api/analytics/events/{created.json['id']}", headers=private).status == 404
    assert host.request("GET", "/api/analytics/events", headers=private, query="orgId=showroom").status == 403
    assert host.request("GET", "/api/analytics/events", headers=private).json["events"] == []
