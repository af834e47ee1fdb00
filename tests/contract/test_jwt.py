"""JSON Web Tokens, through every face."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.contract.test_access import refused
from tests.hosts.base import EVENTS, PRIVATE, RIVAL_SHOP, SHOP, Host, an_event
from tests.identities.issuer import AUDIENCE, SECRET, Issuer, claims, issuing, signed
from tk_analytics_mw import JWTAuthenticator, Principal, any_of
from tk_analytics_mw.auth import key_set


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        made.add("first")
        yield made


def of_secret(**changes: Any) -> JWTAuthenticator:
    return JWTAuthenticator(SECRET, **{"algorithms": ["HS256"], "audience": AUDIENCE, **changes})


def of_issuer(published: Issuer, **changes: Any) -> JWTAuthenticator:
    return JWTAuthenticator(jwks_url=published.url, **{"algorithms": ["ES256"], "audience": AUDIENCE, **changes})


def test_a_public_one_works_in_the_query_from_its_domains_alone(make_host) -> None:
    host = make_host(authenticator=of_secret())
    reply = host.from_page(an_event(), token=signed())
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == SHOP
    foreign = host.from_page(an_event(), token=signed(), origin=RIVAL_SHOP)
    assert (foreign.status, len(host.rows())) == (401, 1)
    assert host.from_page(an_event(), token=signed(), origin=None).status == 401
    assert host.from_server(an_event(), token=signed()).status == 401
    assert host.request("GET", EVENTS, query=f"bearer_token={signed()}", headers={"Origin": SHOP}).status == 403
    assert host.from_page(an_event(orgId="rival"), token=signed()).status == 403


def test_domains_may_be_the_authenticators(make_host) -> None:
    host = make_host(authenticator=of_secret(domains=["shop.example.com"]))
    assert host.from_page(an_event(), token=signed(domains=None)).status == 200
    assert host.from_page(an_event(), token=signed(domains=["other.example"])).status == 401
    without = make_host(authenticator=of_secret())
    assert refused(without, without.from_page(an_event(), token=signed(domains=None)))


def test_a_private_one_works_in_the_header_outside_a_browser_alone(make_host) -> None:
    host = make_host(authenticator=of_secret())
    token = signed(kind="private")
    assert host.from_server(an_event(), token=token).status == 200
    assert host.request("GET", EVENTS, headers={"Authorization": f"Bearer {token}"}).json["events"]
    assert host.from_server(an_event(), token=token, headers={"Origin": SHOP}).status == 401
    in_url = host.from_page(an_event(), token=token, origin=None)
    assert (in_url.status, "allow_private_in_query" in in_url.json["detail"]) == (401, True)
    assert len(host.rows()) == 1
    allowing = make_host(authenticator=of_secret(allow_private_in_query=True))
    assert allowing.from_page(an_event(), token=token, origin=None).status == 200
    assert allowing.from_page(an_event(), token=token).status == 401
    # A preflight carries a public one as the request will.
    preflight = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    reply = host.request("OPTIONS", EVENTS, query=f"bearer_token={signed()}", headers=preflight)
    assert reply.headers["access-control-allow-origin"] == SHOP


def test_listed_tokens_count_beside_it(make_host) -> None:
    host = make_host(authenticator=of_secret())
    assert host.from_server(an_event()).status == 200
    assert host.from_page(an_event()).status == 200


def encoded(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def unsigned(header: Any, payload: Any = None, signature: str = "") -> str:
    return f"{encoded(header)}.{encoded(claims() if payload is None else payload)}.{signature}"


def tampered() -> str:
    head, _, signature = signed().split(".")
    return f"{head}.{encoded(claims(org_id='rival'))}.{signature}"


HOSTILE: dict[str, Any] = {
    "alg none": lambda: unsigned({"alg": "none", "typ": "JWT"}),
    "alg None": lambda: unsigned({"alg": "None"}),
    "alg none, signed": lambda: unsigned({"alg": "none"}, signature=signed().split(".")[2]),
    "alg that is a list": lambda: unsigned({"alg": ["HS256"]}),
    "alg of another list": lambda: signed(algorithm="HS512", key=SECRET * 2),
    "no alg": lambda: unsigned({"typ": "JWT"}),
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "another secret": lambda: signed(key="another secret that has more than thirty-two bytes"),
    "another payload": tampered,
    "critical extension": lambda: signed(headers={"crit": ["exp"], "exp": 1}),
    "unencoded payload": lambda: unsigned({"alg": "HS256", "b64": False, "crit": ["b64"]}),
    "jku": lambda: unsigned({"alg": "HS256", "jku": "https://foreign.example/"}, signature="AAAA"),
    "embedded key": lambda: unsigned({"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}, signature="AAAA"),
    "kid that is a number": lambda: unsigned({"alg": "HS256", "kid": 7}, signature="AAAA"),
    "no exp": lambda: signed(exp=None),
    "exp in the past": lambda: signed(exp=int(time.time()) - 60),
    "exp that is a word": lambda: signed(exp="tomorrow"),
    "exp that is infinite": lambda: signed(exp=float("inf")),
    "exp that is a list": lambda: signed(exp=[]),
    "not yet": lambda: signed(nbf=int(time.time()) + 600),
    "issued in the future": lambda: signed(iat=int(time.time()) + 600),
    "no aud": lambda: signed(aud=None),
    "another aud": lambda: signed(aud="shop"),
    "aud that is an object": lambda: signed(aud={"analytics": 1}),
    "no org_id": lambda: signed(org_id=None),
    "org_id that is a list": lambda: signed(org_id=["acme"]),
    "blank org_id": lambda: signed(org_id=" "),
    "kind session": lambda: signed(kind="session"),
    "kind that is a list": lambda: signed(kind=["public"]),
    "domains that are a text": lambda: signed(domains="shop.example.com"),
    "domains that are none": lambda: signed(domains=["https://a/b"]),
    "domains that are numbers": lambda: signed(domains=[1]),
    "deep header": lambda: unsigned(b'{"alg":' + b"[" * 2000, signature="AAAA"),
    "header that is a list": lambda: unsigned([], signature="AAAA"),
    "too long": lambda: signed(name="x" * 9000),
    "nothing but dots": lambda: "..",
    "five parts": lambda: "a.b.c.d.e",
}


def test_hostile_ones_are_refused_and_shown_nowhere(make_host, caplog: pytest.LogCaptureFixture) -> None:
    host = make_host(authenticator=of_secret(domains=["shop.example.com"]))
    with caplog.at_level(logging.DEBUG):
        for name, make in HOSTILE.items():
            token = make()
            reply = host.from_page(an_event(), token=token)
            ours = [record.getMessage() for record in caplog.records if record.name.startswith("tk_analytics_mw")]
            shown = reply.body.decode() + "".join(ours)
            assert refused(host, reply), (name, reply.body)
            assert all(len(part) < 8 or part not in shown for part in token.split(".")), name
    assert host.from_page(an_event(), token=signed()).status == 200, "and a good one passes"


def test_a_public_key_is_no_secret(make_host) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    host = make_host(authenticator=JWTAuthenticator(pem, algorithms=["RS256"], audience=AUDIENCE))
    import hashlib
    import hmac

    text = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded(claims())}"
    signature = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    assert refused(host, host.from_page(an_event(), token=f"{text}.{encoded(signature)}"))
    assert host.from_page(an_event(), token=signed(key=key, algorithm="RS256")).status == 200


def test_the_leeway_is_as_stated_and_an_expired_one_is_told_apart(make_host) -> None:
    host = make_host(authenticator=of_secret(leeway=30))
    now = int(time.time())
    assert host.from_page(an_event(), token=signed(exp=now - 20)).status == 200
    reply = host.from_page(an_event(), token=signed(exp=now - 40))
    assert (reply.status, reply.json["detail"]) == (401, "The token has expired.")
    strict = make_host(authenticator=of_secret(leeway=0))
    assert refused(strict, strict.from_page(an_event(), token=signed(exp=now - 1)))
    counted = host.request("GET", "/api/analytics/refusals", headers={"Authorization": f"Bearer {PRIVATE}"}).json
    assert "expired token" in json.dumps(counted), "the organisation sees what became of its page"


def test_keys_that_replace_one_another(make_host) -> None:
    new = "the next secret of the shop has more than thirty-two bytes"
    host = make_host(authenticator=JWTAuthenticator([SECRET, new], algorithms=["HS256"], audience=AUDIENCE))
    assert host.from_page(an_event(), token=signed()).status == 200
    assert host.from_page(an_event(), token=signed(key=new)).status == 200
    named = make_host(authenticator=JWTAuthenticator({"a": SECRET, "b": new}, algorithms=["HS256"], audience=AUDIENCE))
    assert named.from_page(an_event(), token=signed(key=new, headers={"kid": "b"})).status == 200
    assert named.from_page(an_event(), token=signed(key=new, headers={"kid": "a"})).status == 401


def test_claims_of_another_shape_are_the_hosts_to_read(make_host) -> None:
    def read(found: Any) -> Principal | None:
        return Principal(found["shop"]["id"], kind="private", name="idp") if "shop" in found else None

    host = make_host(authenticator=of_secret(principal=read))
    assert host.from_server(an_event(), token=signed(shop={"id": "acme"})).status == 200
    assert host.from_server(an_event(), token=signed()).status == 401
    broken = make_host(authenticator=of_secret(principal=lambda found: "acme"))
    assert refused(broken, broken.from_server(an_event(), token=signed()), 503)


def test_issuers_are_told_apart(make_host, issuer: Issuer) -> None:
    host = make_host(authenticator=any_of(of_issuer(issuer, issuer="idp"), of_secret(issuer="shop")))
    issuer.status = 500
    assert host.from_page(an_event(), token=signed(iss="shop")).status == 200, (
        "the other issuer's outage is not its own"
    )
    assert issuer.asked == 0
    assert host.from_page(an_event(), token=issuer.token("first", iss="idp")).status == 503
    assert host.from_page(an_event(), token=signed(iss="idp")).status == 401
    assert host.from_page(an_event(), token=signed()).status == 401
    assert len(host.rows()) == 1


class TestPublishedKeys:
    """Those of a real HTTP server, over time. The clock alone is moved."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1000.0]
        made = key_set.KeySet.__init__

        def with_clock(self: Any, *args: Any) -> None:
            made(self, *args, clock=lambda: now[0])

        monkeypatch.setattr(key_set.KeySet, "__init__", with_clock)
        return now

    def post(self, host: Host, token: str) -> int:
        return host.from_page(an_event(), token=token).status

    def test_they_are_fetched_once_and_again_after_a_rotation(self, make_host, issuer: Issuer, clock: Any) -> None:
        host = make_host(authenticator=of_issuer(issuer))
        assert issuer.asked == 0, "nothing at the start"
        assert [self.post(host, issuer.token("first")) for _ in range(3)] == [200] * 3
        assert issuer.asked == 1
        clock[0] += key_set.RETRY + 1
        issuer.add("second")
        assert self.post(host, issuer.token("second")) == 200, "a new key is known when its first token comes"
        assert issuer.asked == 2
        gone = issuer.token("first")
        del issuer.keys["first"]
        assert self.post(host, gone) == 200
        clock[0] += key_set.FRESH + 1
        assert self.post(host, gone) == 401, "one that was taken back"
        assert self.post(host, issuer.token("second")) == 200
        assert issuer.asked == 3

    def test_unknown_keys_do_not_make_us_ask_again_and_again(self, make_host, issuer: Issuer, clock: Any) -> None:
        host = make_host(authenticator=of_issuer(issuer))
        assert self.post(host, issuer.token("first")) == 200
        for number in range(20):
            token = signed(key=issuer.keys["first"], algorithm="ES256", headers={"kid": f"made-up-{number}"})
            assert self.post(host, token) == 401
            clock[0] += 1
        assert issuer.asked <= 1 + 20 // key_set.RETRY
        assert self.post(host, issuer.token("first")) == 200

    def test_an_outage_is_503_and_never_a_pass(self, make_host, issuer: Issuer, clock: Any) -> None:
        host = make_host(authenticator=of_issuer(issuer))
        for status, body in ((500, None), (200, b"<html>"), (200, b"[]"), (200, b"[" * 100_000), (302, None)):
            issuer.status, issuer.body = status, body
            assert [self.post(host, issuer.token("first")) for _ in range(3)] == [503] * 3
            clock[0] += key_set.RETRY + 1
        assert host.rows() == []
        assert issuer.asked == 5, "once in a while, whatever comes"
        issuer.status, issuer.body = 200, None
        assert self.post(host, issuer.token("first")) == 200
        # Known keys go on counting, for an hour.
        issuer.status = 500
        clock[0] += key_set.FRESH + 1
        assert self.post(host, issuer.token("first")) == 200
        clock[0] += key_set.STALE
        reply = host.from_page(an_event(), token=issuer.token("first"))
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")


def test_a_server_that_is_not_there_is_503(make_host) -> None:
    with issuing() as issuer:
        issuer.add("first")
        token = issuer.token("first")
        authenticator = of_issuer(issuer)
    host = make_host(authenticator=authenticator)
    assert refused(host, host.from_page(an_event(), token=token), 503)
    assert host.from_page(an_event()).status == 200, "a listed token asks nobody"


def test_none_of_the_key_sets_secrets_counts(make_host, issuer: Issuer) -> None:
    host = make_host(authenticator=of_issuer(issuer))
    token = jwt.encode(claims(), b"secret" * 8, "HS256", {"kid": "oct"})
    assert refused(host, host.from_page(an_event(), token=token))
