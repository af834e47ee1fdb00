"""Who may ask, from where, about whose organisation."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

import pytest

from tests.hosts.base import (
    BATCH,
    EVENTS,
    EXPIRED,
    PRIVATE,
    PUBLIC,
    RIVAL_PRIVATE,
    RIVAL_PUBLIC,
    RIVAL_SHOP,
    SHOP,
    TOKENS,
    Host,
    Reply,
    an_event,
)
from tk_analytics_mw import Principal, Refused, Request


def refused(host: Host, reply: Reply, status: int = 401) -> bool:
    return reply.status == status and host.rows() == []


def test_without_a_token_nothing_is_created(host: Host) -> None:
    assert refused(host, host.request("POST", EVENTS, body=an_event()))
    assert refused(host, host.request("POST", EVENTS, headers={"Origin": SHOP}, body=an_event()))


def test_unknown_and_expired_tokens_are_refused(host: Host) -> None:
    for token in ("", "nobody", PRIVATE[:-1], PRIVATE.upper(), "x" * 10_000, EXPIRED):
        assert refused(host, host.from_server(an_event(), token=token)), token
    for token in ("", "nobody", "x" * 5000):
        assert refused(host, host.from_page(an_event(), token=token)), token


def test_a_public_token_works_on_its_domains(host: Host) -> None:
    for origin in (SHOP, "http://shop.example.com", "https://eu.example.org", "https://a.b.example.org"):
        assert host.from_page(an_event(), origin=origin).status == 200, origin
    assert host.from_page(an_event(), origin="http://localhost:5000").status == 200


def test_a_public_token_is_refused_everywhere_else(host: Host) -> None:
    elsewhere = [
        "https://foreign.example",
        "https://example.org",
        "https://evilexample.org",
        "https://shop.example.com.evil.com",
        "https://shop.example.com:8443",
        "http://localhost",
        "http://localhost:5001",
        RIVAL_SHOP,
        "null",
        "",
        "https://shop.example.com https://shop.example.com",
    ]
    for origin in elsewhere:
        assert refused(host, host.from_page(an_event(), origin=origin)), origin


def test_a_public_token_is_refused_when_nothing_says_where_it_is_used(host: Host) -> None:
    assert refused(host, host.from_page(an_event(), origin=None))


def test_a_referer_stands_in_for_an_absent_origin(host: Host) -> None:
    reply = host.from_page(an_event(), origin=None, headers={"Referer": f"{SHOP}/sofas?id=1"})
    assert reply.status == 200
    assert reply.json["requestOrigin"] is None


def test_a_foreign_referer_is_refused(host: Host) -> None:
    for referer in (
        "https://foreign.example/shop.example.com/",
        "https://foreign.example/?https://shop.example.com",
        "https://shop.example.com@foreign.example/",
        "https://foreign.example\\@shop.example.com/",
        "javascript:https://shop.example.com",
        "//shop.example.com/",
        "about:client",
    ):
        assert refused(host, host.from_page(an_event(), origin=None, headers={"Referer": referer})), referer


def test_a_referer_counts_only_where_origin_is_absent(host: Host) -> None:
    for origin in ("https://foreign.example", "null", ""):
        reply = host.from_page(an_event(), origin=origin, headers={"Referer": f"{SHOP}/sofas"})
        assert refused(host, reply), origin


def test_a_public_token_belongs_into_the_query(host: Host) -> None:
    reply = host.request("POST", EVENTS, headers={"Authorization": f"Bearer {PUBLIC}", "Origin": SHOP}, body=an_event())
    assert refused(host, reply)


def test_a_token_that_is_given_twice_is_refused(host: Host) -> None:
    assert refused(host, host.from_page(an_event(), query=f"bearer_token={PUBLIC}"))
    assert refused(host, host.from_page(an_event(), query=f"bearer_token={RIVAL_PUBLIC}"))


def test_a_token_may_be_percent_encoded(host: Host) -> None:
    encoded = "".join(f"%{ord(character):02X}" for character in PUBLIC)
    assert host.from_page(an_event(), token=encoded).status == 200


def test_a_private_token_works_outside_a_browser(host: Host) -> None:
    assert host.from_server(an_event()).status == 200


def test_the_scheme_bearer_is_read_in_any_case_and_others_are_not_ours(host: Host) -> None:
    def with_authorization(value: str) -> Reply:
        return host.request("POST", EVENTS, headers={"Authorization": value}, body=an_event())

    assert with_authorization(f"bearer {PRIVATE}").status == 200
    for value in (f"Basic {PRIVATE}", PRIVATE, "Bearer", f"Bearer{PRIVATE}", f"Bearer {PRIVATE} {PRIVATE}"):
        assert with_authorization(value).status == 401, value


def test_a_private_token_in_a_browser_is_refused(host: Host) -> None:
    for header in ({"Origin": SHOP}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-origin"}):
        assert refused(host, host.from_server(an_event(), headers=header)), header


def test_a_private_token_in_the_query_is_refused_with_an_error_that_names_the_switch(host: Host) -> None:
    reply = host.from_page(an_event(), token=PRIVATE, origin=None)
    assert refused(host, reply)
    assert "allow_private_token_in_query" in reply.json["detail"]


def test_the_switch_allows_a_private_token_in_the_query_but_never_in_a_browser(make_host) -> None:
    host = make_host(allow_private_token_in_query=True)
    assert host.from_page(an_event(), token=PRIVATE).status == 401
    assert host.rows() == []
    assert host.from_page(an_event(), token=PRIVATE, origin=None).status == 200
    assert host.from_server(an_event()).status == 200


def test_events_of_another_organisation_are_forbidden(host: Host) -> None:
    foreign = an_event(orgId="rival")
    assert refused(host, host.from_page(foreign), 403)
    assert refused(host, host.from_server(foreign), 403)
    assert refused(host, host.from_server(an_event(orgId="ACME")), 403)
    assert host.from_server(foreign, token=RIVAL_PRIVATE).status == 200
    assert host.from_page(foreign, token=RIVAL_PUBLIC, origin=RIVAL_SHOP).status == 200
    assert {row["org_id"] for row in host.rows()} == {"rival"}


def test_the_organisation_in_the_query_may_be_the_own_one(host: Host) -> None:
    assert host.from_page(an_event(), query="orgId=acme").status == 200
    assert host.from_server(an_event(), query="orgId=acme").status == 200


def test_the_organisation_in_the_query_may_not_be_another_one(host: Host) -> None:
    for body in (an_event(), an_event(orgId="rival")):
        assert refused(host, host.from_page(body, query="orgId=rival"), 403)
        assert refused(host, host.from_server(body, query="orgId=rival"), 403)


def test_public_organisations_are_everybodys(host: Host) -> None:
    shared = an_event(orgId="showroom")
    assert host.from_page(shared).json["orgId"] == "showroom"
    assert host.from_page(shared, query="orgId=showroom").status == 200
    assert host.from_server(shared, token=RIVAL_PRIVATE).status == 200
    assert [row["org_id"] for row in host.rows()] == ["showroom"] * 3


def test_query_and_body_must_name_the_same_organisation(host: Host) -> None:
    for query, body in (("showroom", "acme"), ("acme", "showroom")):
        reply = host.from_page(an_event(orgId=body), query=f"orgId={query}")
        assert refused(host, reply, 422)
        assert reply.locs == [["body", "orgId"]]


def test_two_organisations_in_the_query_are_refused(host: Host) -> None:
    assert refused(host, host.from_server(an_event(), query="orgId=acme&orgId=acme"), 422)
    assert refused(host, host.from_server(an_event(), query="orgId=acme&orgId=rival"), 422)


def test_a_public_token_can_only_create(host: Host) -> None:
    for path in (EVENTS, f"{EVENTS}/0190aaaa-0000-7000-8000-000000000000", f"{EVENTS}/views"):
        reply = host.request("GET", path, query=f"bearer_token={PUBLIC}", headers={"Origin": SHOP})
        assert reply.status in (401, 403, 404, 405), path
        assert b"sessionId" not in reply.body


def test_the_batch_asks_for_the_same_credentials(host: Host) -> None:
    body = {"events": [an_event()]}
    assert refused(host, host.request("POST", BATCH, body=body))
    assert refused(host, host.from_page(body, path=BATCH, origin="https://foreign.example"))
    assert refused(host, host.from_server(body, path=BATCH, headers={"Origin": SHOP}))
    assert host.from_page(body, path=BATCH).status == 200


def test_cookies_are_no_credentials(host: Host) -> None:
    reply = host.request("POST", EVENTS, headers={"Cookie": f"bearer_token={PRIVATE}"}, body=an_event())
    assert refused(host, reply)


def plain_keys(request: Request) -> Principal | None:
    if request.headers.get("x-api-key") == "letmein":
        return Principal("acme", name="key of the back office")
    return None


async def async_keys(request: Request) -> Principal | None:
    import anyio

    await anyio.sleep(0)
    return plain_keys(request)


class Keys:
    def authenticate(self, request: Request) -> Principal | None:
        return plain_keys(request)


class AsyncKeys:
    async def authenticate(self, request: Request) -> Principal | None:
        return await async_keys(request)


def plain_that_gives_a_coroutine(request: Request) -> Awaitable[Principal | None]:
    return async_keys(request)


AUTHENTICATORS = [plain_keys, async_keys, Keys(), AsyncKeys(), plain_that_gives_a_coroutine]


@pytest.mark.parametrize("authenticator", AUTHENTICATORS, ids=["plain", "async", "object", "async_object", "coroutine"])
def test_an_authenticator_of_the_hosts_own(make_host, authenticator: object) -> None:
    host = make_host(authenticator=authenticator)
    assert host.request("POST", EVENTS, headers={"X-Api-Key": "letmein"}, body=an_event()).status == 200
    assert host.request("POST", EVENTS, headers={"X-Api-Key": "wrong"}, body=an_event()).status == 401
    assert host.request("POST", EVENTS, headers={"X-Api-Key": "letmein"}, body=an_event(orgId="rival")).status == 403
    assert host.from_page(an_event()).status == 200, "the listed tokens are asked next"
    assert len(host.rows()) == 2


def test_a_public_principal_of_an_authenticator_is_held_to_its_domains(make_host) -> None:
    def everybody(request: Request) -> Principal:
        return Principal("acme", "public", ("shop.example.com",))

    host = make_host(authenticator=everybody)
    assert host.request("POST", EVENTS, headers={"Origin": SHOP}, body=an_event()).status == 200
    foreign = host.request("POST", EVENTS, headers={"Origin": "https://foreign.example"}, body=an_event())
    assert foreign.status == 401
    assert len(host.rows()) == 1


def test_an_authenticator_may_refuse_with_its_own_reason(make_host) -> None:
    def closed(request: Request) -> Principal:
        raise Refused("The shop is closed.", status=403)

    reply = make_host(authenticator=closed).from_page(an_event())
    assert (reply.status, reply.json["detail"]) == (403, "The shop is closed.")


@pytest.mark.parametrize("answer", [True, "acme", {"org_id": "acme"}, 1, ("acme",)], ids=repr)
def test_an_authenticator_that_answers_anything_but_a_principal_lets_nobody_in(make_host, answer: object) -> None:
    async def later(request: Request) -> object:
        return answer

    for authenticator in (lambda request: answer, later):
        host = make_host(authenticator=authenticator)
        for reply in (host.from_page(an_event()), host.from_server(an_event())):
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) >= 1
        assert host.rows() == []


def test_an_authenticator_that_cannot_tell_lets_nobody_in(make_host) -> None:
    def plain(request: Request) -> Principal:
        raise ConnectionError("password of the user database: hunter2")

    async def later(request: Request) -> Principal:
        raise ConnectionError("password of the user database: hunter2")

    for authenticator in (plain, later):
        host = make_host(authenticator=authenticator)
        reply = host.from_server(an_event())
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) >= 1
        assert b"hunter2" not in reply.body
        assert host.rows() == []


def test_tokens_appear_in_no_answer_no_log_and_no_row(make_host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx2").disabled = True  # the client's own log of the URLs that it calls
    seen: list[str] = []
    host = make_host(register=lambda analytics: analytics.on()(lambda event: seen.append(repr(event))))
    replies = []
    for token in TOKENS:
        for origin in (None, SHOP, "https://foreign.example"):
            for body in (an_event(), an_event(orgId="rival"), "{", {"events": [an_event(), {}]}):
                path = BATCH if "events" in body else EVENTS
                replies.append(host.from_page(body, token=token, origin=origin, path=path))
                headers = {} if origin is None else {"Origin": origin}
                replies.append(host.from_server(body, token=token, headers=headers, path=path))
        replies.append(host.from_page(an_event(), headers={"Referer": f"{SHOP}/?bearer_token={token}"}))
        replies.append(host.request("PUT", EVENTS, query=f"bearer_token={token}"))
        replies.append(host.request("GET", "/api/analytics/nothing", query=f"bearer_token={token}"))
    assert {reply.status for reply in replies} >= {200, 401, 403, 404, 405, 422}
    told = [str(reply.headers) + reply.body.decode() for reply in replies] + [str(host.rows()), *seen]
    logged = [record.getMessage() + str(record.exc_text or "") for record in caplog.records]
    assert seen
    for token in TOKENS:
        assert not [text for text in [*told, *logged] if token in text]
