"""The user by the host's own login, through every face."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.test_access import refused
from tests.hosts.base import BATCH, SHOP, an_event
from tk_analytics_mw import Principal, Refused, any_of


def cookies_of(request: Any) -> Any:
    """Those of Django's request, or of any other framework's."""
    return request.COOKIES if hasattr(request, "COOKIES") else request.cookies


def plain(request: Any) -> Any:
    return cookies_of(request).get("user")


async def later(request: Any) -> Any:
    return plain(request)


JANE = {"Cookie": "user=jane"}
BOTH = pytest.mark.parametrize("identify", [plain, later], ids=["plain", "async"])


def users(host: Any) -> list[Any]:
    return [row["user_id"] for row in host.rows()]


@BOTH
def test_the_login_counts_and_not_what_the_page_says(make_host, identify: Any) -> None:
    host = make_host(identify=identify)
    reply = host.from_page(an_event(userId="forged"), headers=JANE)
    assert (reply.status, reply.json["userId"]) == (200, "jane")
    assert host.from_page(an_event(), headers=JANE).json["userId"] == "jane"
    assert host.from_page(an_event(userId=["no text"]), headers=JANE).status == 200
    assert users(host) == ["jane"] * 3


def test_without_a_login_a_page_names_nobody(make_host) -> None:
    host = make_host(identify=plain)
    assert "userId" not in host.from_page(an_event(userId="forged")).json
    assert host.from_page(an_event(userId="forged"), headers={"Cookie": "user="}).status == 200
    assert users(host) == [None, None]


def test_a_server_speaks_of_its_shoppers_and_without_the_setting_the_page_does(make_host) -> None:
    host = make_host(identify=plain)
    assert host.from_server(an_event(userId="joe"), headers=JANE).json["userId"] == "joe"
    assert make_host().from_page(an_event(userId="joe"), headers=JANE).json["userId"] == "joe"


def test_a_batch_asks_once(make_host) -> None:
    asked = []

    def identify(request: Any) -> str:
        asked.append(request)
        return "jane"

    host = make_host(identify=identify)
    reply = host.from_page({"events": [an_event(userId="a"), an_event(userId="b")]}, path=BATCH)
    assert [result["event"]["userId"] for result in reply.json["results"]] == ["jane", "jane"]
    assert len(asked) == 1


def test_who_does_not_want_to_be_known_is_not_asked_for(make_host) -> None:
    asked = []
    host = make_host(identify=lambda request: asked.append(request) or "jane")
    assert "userId" not in host.from_page(an_event(userId="joe"), headers={"Sec-GPC": "1"}).json
    assert asked == []
    ignoring = make_host(identify=plain, respect_gpc="ignore")
    assert ignoring.from_page(an_event(), headers={"Sec-GPC": "1", **JANE}).json["userId"] == "jane"


@pytest.mark.parametrize("answer", [7, "7"])
def test_an_id_is_stored_as_a_text(make_host, answer: Any) -> None:
    assert make_host(identify=lambda request: answer).from_page(an_event()).json["userId"] == "7"


@pytest.mark.parametrize("answer", [True, 1.5, ["jane"], object(), " ", "x" * 201])
def test_what_is_no_id_is_503(make_host, answer: Any) -> None:
    host = make_host(identify=lambda request: answer)
    assert refused(host, host.from_page(an_event(userId="joe")), 503)


def test_a_login_that_cannot_be_looked_up_is_503(make_host) -> None:
    def away(request: Any) -> str:
        raise OSError("the session store is away")

    async def away_later(request: Any) -> str:
        raise OSError("the session store is away")

    for identify in (away, away_later):
        host = make_host(identify=identify)
        reply = host.from_page(an_event(userId="joe"))
        assert refused(host, reply, 503)
        assert reply.headers["retry-after"] == "1"
        assert host.from_server(an_event()).status == 200


def test_a_login_of_another_framework_is_503(make_host) -> None:
    host = make_host()
    name = "flask-login" if "django" in type(host).face else "django"
    host = make_host(identify=name)
    assert refused(host, host.from_page(an_event()), 503)


class TestAnyOf:
    """Several authenticators."""

    @staticmethod
    def key(request: Any) -> Principal | None:
        return Principal("acme") if request.headers.get("x-key") == "k" else None

    @staticmethod
    async def later_key(request: Any) -> Principal | None:
        if request.headers.get("x-key") == "suspended":
            raise Refused("suspended", status=403)
        return Principal("rival") if request.headers.get("x-key") else None

    def post(self, host: Any, key: str, org: str = "acme") -> int:
        return host.request("POST", "/api/analytics/events", headers={"X-Key": key}, body=an_event(orgId=org)).status

    def test_the_first_that_knows_decides(self, make_host) -> None:
        host = make_host(authenticator=any_of(self.key, any_of(self.later_key)))
        assert self.post(host, "k") == 200
        assert self.post(host, "other", "rival") == 200
        assert self.post(host, "other") == 403
        assert self.post(host, "suspended") == 403
        assert host.from_server(an_event()).status == 200, "the listed tokens come last"

    def test_one_that_cannot_decide_is_503_whatever_comes_after_it(self, make_host) -> None:
        def away(request: Any) -> None:
            raise OSError("away")

        async def away_later(request: Any) -> None:
            raise OSError("away")

        for broken in (away, away_later):
            host = make_host(authenticator=any_of(broken, self.key))
            assert self.post(host, "k") == 503
            assert host.rows() == []
        host = make_host(authenticator=any_of(self.key, away))
        assert self.post(host, "k") == 200


SAME = {"Sec-Fetch-Site": "same-origin"}
OWN = "http://shop.test"


def logged_in(request: Any) -> Principal | None:
    return Principal("acme", kind="session") if request.cookies.get("staff") == "yes" else None


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, SAME),
        (200, {**SAME, "Origin": OWN}),
        (200, {"Origin": OWN}),
        (200, {"Origin": "https://shop.test"}),  # a proxy spoke TLS
        (200, {"Referer": f"{OWN}/office?page=1"}),
        (401, {}),
        (401, {"Origin": "null"}),
        (401, {"Origin": SHOP}),  # where public tokens may be used
        (401, {"Origin": f"{OWN}.evil.example"}),
        (401, {"Origin": f"{OWN}:8443"}),
        (401, {"Referer": f"{SHOP}/?{OWN}"}),
        (401, {"Origin": SHOP, "Referer": f"{OWN}/office"}),
        (401, {"Sec-Fetch-Site": "cross-site"}),
        (401, {"Sec-Fetch-Site": "same-site", "Origin": OWN}),
        (401, {"Sec-Fetch-Site": "cross-site", "Origin": OWN}),
        (401, {**SAME, "Origin": SHOP}),
        (401, {"Sec-Fetch-Site": "none"}),
        (401, {"Sec-Fetch-Site": ""}),
    ],
)
def test_a_session_counts_on_pages_of_its_own_site(make_host, status: int, headers: dict[str, str]) -> None:
    host = make_host(authenticator=logged_in)
    cookie = {"Cookie": "staff=yes"}
    reply = host.request("POST", "/api/analytics/events", headers={**cookie, **headers}, body=an_event())
    assert (reply.status, len(host.rows())) == (status, int(status == 200))
    assert "access-control-allow-origin" not in reply.headers
    read = host.request("GET", "/api/analytics/events", headers={**cookie, **headers})
    assert read.status == (200 if headers == {"Sec-Fetch-Site": "none"} else status)
    assert "access-control-allow-origin" not in read.headers


def test_a_token_comes_before_a_session(make_host) -> None:
    host = make_host(authenticator=lambda request: Principal("rival", kind="session"))
    assert host.from_page(an_event()).status == 200
    assert host.from_server(an_event()).status == 200
    assert host.from_page(an_event(orgId="rival")).status == 403
    basic = {"Authorization": "Basic c3RhZ2luZzpnYXRl", **SAME}  # a gate before a staging site
    assert host.request("POST", "/api/analytics/events", headers=basic, body=an_event(orgId="rival")).status == 200
