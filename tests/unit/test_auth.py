"""Listed tokens: what may be one, how one is compared, and when it ends."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tk_analytics_mw import Analytics, ConfigurationError, PrivateToken, PublicToken, Refused, Request
from tk_analytics_mw.auth.tokens import TokenAuthenticator

PRIVATE = PrivateToken("prv-0123456789", org_id="acme")
PUBLIC = PublicToken("pub-0123456789", org_id="acme", domains=["shop.example.com"])


def request(*, header: str = "", query: str = "") -> Request:
    headers = [(b"authorization", header.encode("latin-1"))] if header else []
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": query.encode(), "headers": headers})


def private(token: Any = "prv-0123456789", **options: Any) -> PrivateToken:
    return PrivateToken(token, **{"org_id": "acme", **options})


def public(token: Any = "pub-0123456789", **options: Any) -> PublicToken:
    return PublicToken(token, **{"org_id": "acme", "domains": ["shop.example.com"], **options})


@pytest.mark.parametrize("make", [private, public])
@pytest.mark.parametrize(
    "wrong",
    [
        *({"token": token} for token in ("", "  ", "x" * 513, b"prv-0123456789", None, 5)),
        *({"org_id": org_id} for org_id in ("", " ", None, 5)),
        {"expires_at": datetime(2030, 1, 1)},  # noqa: DTZ001
    ],
    ids=lambda wrong: f"{next(iter(wrong))}={str(next(iter(wrong.values())))[:20]!r}",
)
def test_what_can_be_no_token_stops_the_start(make: Callable[..., Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{'Private' if make is private else 'Public'}Token"):
        make(**wrong)


@pytest.mark.parametrize("token", ["prv-0123456789\n", " prv-0123456789", "prv-0123456789\t"])
def test_a_private_token_that_no_header_can_carry_stops_the_start(token: str) -> None:
    """Read from a file it has a newline at its end; a header's value has none: every request would be a 401."""
    with pytest.raises(ConfigurationError):
        private(token)


@pytest.mark.parametrize(
    "other", [private(org_id="other"), public("prv-0123456789")], ids=["two organisations", "two kinds"]
)
def test_one_token_for_two_purposes_stops_the_start(other: PrivateToken | PublicToken) -> None:
    """Only one of them could count, and the events of the other would all be refused."""
    for tokens in ([PRIVATE, other], [other, PRIVATE]):
        with pytest.raises(ConfigurationError, match="token"):
            Analytics(tokens=tokens)


@pytest.mark.parametrize("domains", [[], (), "shop.example.com", ["no domain"]], ids=repr)
def test_a_public_token_has_domains(domains: Any) -> None:
    with pytest.raises(ConfigurationError):
        public(domains=domains)


def test_tokens_are_compared_in_constant_time_and_as_digests_only(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[Any, Any]] = []
    original = hmac.compare_digest

    def compare(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return original(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    tokens = TokenAuthenticator([PRIVATE, PUBLIC])
    assert tokens.authenticate(request(header="Bearer prv-0123456789")) == PRIVATE.principal
    assert tokens.authenticate(request(query="bearer_token=pub-0123456789")) == PUBLIC.principal
    assert len(compared) == 2
    for one, other in compared:
        assert type(one) is type(other) is bytes
        assert len(one) == len(other) == 32


@pytest.mark.parametrize(
    "header",
    [
        "Bearer prv-012345678",
        "Bearer prv-01234567890",
        "Bearer PRV-0123456789",
        "Bearer",
        "Bearer ",
        "Bearer " + "x" * 100_000,
        "Bearer \xff\x00",
        "Basic prv-0123456789",
        "prv-0123456789",
    ],
    ids=lambda header: header[:25],
)
def test_what_resembles_a_token_is_nobodys(header: str) -> None:
    assert TokenAuthenticator([PRIVATE, PUBLIC]).authenticate(request(header=header)) is None


def test_without_listed_tokens_nobody_is_known() -> None:
    for sent in (
        request(),
        request(header="Bearer x"),
        request(query="bearer_token=x"),
        request(query="bearer_token="),
    ):
        assert TokenAuthenticator([]).authenticate(sent) is None


@pytest.mark.parametrize("offset", [0, 14, -12])
@pytest.mark.parametrize(("hours", "alive"), [(1, True), (-1, False)])
def test_a_token_ends_at_its_moment_in_every_time_zone(offset: int, hours: int, alive: bool) -> None:
    zone = timezone(timedelta(hours=offset))
    token = private(expires_at=datetime.now(zone) + timedelta(hours=hours))
    sent = request(header="Bearer prv-0123456789")
    if alive:
        assert TokenAuthenticator([token]).authenticate(sent) == token.principal
    else:
        with pytest.raises(Refused, match="expired") as caught:
            TokenAuthenticator([token]).authenticate(sent)
        assert caught.value.status == 401


def test_a_token_is_named_by_its_digest_or_as_the_host_says() -> None:
    assert private().principal.name != private("prv-9876543210").principal.name
    assert private().principal.name.startswith("private-")
    assert public(name="shop pages").principal.name == "shop pages"
    assert "shop pages of acme" in repr(public(name="shop pages"))
