"""What browsers need: preflights, CORS headers, beacons, and the host's other paths left alone."""

from __future__ import annotations

import json

from tests.hosts.base import BATCH, EVENTS, HOST, PRIVATE, PUBLIC, RIVAL_SHOP, SHOP, Host, Reply, an_event

FOREIGN = "https://foreign.example"


def preflight(host: Host, origin: str, *, path: str = EVENTS, query: str = "", headers: str = "content-type") -> Reply:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": headers,
    }
    return host.request("OPTIONS", path, query=query, headers=asked)


def test_a_preflight_from_an_allowed_origin_is_granted(host: Host) -> None:
    for path in (EVENTS, BATCH):
        for query in (f"bearer_token={PUBLIC}", ""):
            reply = preflight(host, SHOP, path=path, query=query)
            assert (reply.status, reply.body) == (204, b"")
            assert reply.headers["access-control-allow-origin"] == SHOP
            assert reply.headers["access-control-allow-credentials"] == "true"
            assert "POST" in reply.headers["access-control-allow-methods"]
            assert "content-type" in reply.headers["access-control-allow-headers"].lower()
            assert "idempotency-key" in reply.headers["access-control-allow-headers"].lower()
            assert 600 <= int(reply.headers["access-control-max-age"]) <= 7200
            assert "access-control-allow-private-network" not in reply.headers


def test_a_preflight_from_a_foreign_origin_is_answered_and_not_granted(host: Host) -> None:
    for origin in (FOREIGN, "null", "https://evil.example.org.evil.com"):
        reply = preflight(host, origin, query=f"bearer_token={PUBLIC}")
        assert reply.status == 204
        assert not [name for name in reply.headers if name in ("access-control-allow-origin",)]
        assert "access-control-allow-credentials" not in reply.headers
        assert "origin" in reply.headers["vary"].lower()


def test_a_preflight_does_not_grant_authorization_headers(host: Host) -> None:
    reply = preflight(host, SHOP, headers="authorization")
    assert "authorization" not in reply.headers.get("access-control-allow-headers", "").lower()
    assert "*" not in reply.headers.get("access-control-allow-headers", "")


def test_options_without_an_origin_says_what_is_allowed(host: Host) -> None:
    reply = host.request("OPTIONS", EVENTS)
    assert reply.status == 204
    assert "POST" in reply.headers["allow"]
    assert "access-control-allow-origin" not in reply.headers


def replies_to(host: Host, origin: str) -> dict[str, Reply]:
    """Answers of many statuses to a page at ``origin``."""
    return {
        "created": host.from_page(an_event(), origin=origin),
        "batch": host.from_page({"events": [an_event()]}, origin=origin, path=BATCH),
        "invalid": host.from_page({}, origin=origin),
        "no token": host.request("POST", EVENTS, headers={"Origin": origin}, body=an_event()),
        "private token": host.from_server(an_event(), headers={"Origin": origin}),
        "other organisation": host.from_page(an_event(orgId="rival"), origin=origin),
        "too large": host.from_page(b" " * 70_000, origin=origin),
        "compressed": host.from_page(b"", origin=origin, headers={"Content-Encoding": "gzip"}),
        "wrong method": host.request("DELETE", EVENTS, headers={"Origin": origin}),
        "wrong path": host.request("POST", "/api/analytics/nothing", headers={"Origin": origin}),
        "healthcheck": host.request("GET", "/api/analytics/healthcheck", headers={"Origin": origin}),
    }


def test_an_allowed_origin_may_read_every_answer(host: Host) -> None:
    for origin in (SHOP, "https://eu.example.org", "http://localhost:5000"):
        for name, reply in replies_to(host, origin).items():
            assert reply.headers.getlist("access-control-allow-origin") == [origin], name
            assert reply.headers.getlist("access-control-allow-credentials") == ["true"], name
            assert "origin" in reply.headers["vary"].lower(), name


def test_a_foreign_origin_may_read_none(host: Host) -> None:
    for origin in (FOREIGN, "null", "https://shop.example.com.evil.com"):
        for name, reply in replies_to(host, origin).items():
            assert not [header for header in reply.headers if header.startswith("access-control-allow-")], name
            assert "origin" in reply.headers["vary"].lower(), name


def test_another_tokens_origin_creates_nothing(host: Host) -> None:
    assert host.from_page(an_event(), origin=RIVAL_SHOP).status == 401
    assert host.rows() == []


def test_a_beacon_with_a_string_is_accepted(host: Host) -> None:
    reply = host.from_page(json.dumps(an_event()), headers={"Content-Type": "text/plain;charset=UTF-8"})
    assert reply.status == 200
    assert reply.json["eventType"] == "product cart-add"


def test_a_beacon_without_a_content_type_is_accepted(host: Host) -> None:
    assert host.from_page(json.dumps(an_event())).status == 200


def test_a_beacon_with_a_batch_is_accepted(host: Host) -> None:
    body = json.dumps({"events": [an_event(), an_event()]})
    reply = host.from_page(body, path=BATCH, headers={"Content-Type": "text/plain;charset=UTF-8"})
    assert [result["status"] for result in reply.json["results"]] == [200, 200]


def test_the_headers_of_a_browser_are_no_obstacle(host: Host) -> None:
    headers = {
        "Content-Type": "application/json",
        "Referer": f"{SHOP}/sofas",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "no-cors",
        "Sec-Fetch-Dest": "empty",
        "Cookie": "sessionid=swordfish; csrftoken=marlin",
        "Accept-Language": "de",
        "DNT": "1",
    }
    reply = host.from_page(an_event(), headers=headers)
    assert reply.status == 200
    assert "set-cookie" not in reply.headers
    assert "swordfish" not in str(host.rows())


def test_a_slash_at_the_end_changes_nothing(host: Host) -> None:
    assert host.from_page(an_event(), path=f"{EVENTS}/").status == 200
    assert host.from_page({"events": [an_event()]}, path=f"{BATCH}/").status == 200
    assert host.request("GET", "/api/analytics/healthcheck/").json is True
    assert preflight(host, SHOP, path=f"{EVENTS}/").status == 204
    assert len(host.rows()) == 2


def test_everything_outside_the_prefix_is_the_hosts(host: Host) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        for path in (
            "/",
            "/cart",
            "/api",
            "/api/analyticsmore/events",
            "/x/api/analytics/events",
            "/API/analytics/events",
        ):
            reply = host.request(method, path, headers={"Origin": SHOP}, body=b"{}" if method == "POST" else None)
            assert (reply.status, reply.body.decode()) == (200, f"host: {method} {path}")
            assert not [name for name in reply.headers if name.startswith("access-control-")]
    assert host.rows() == []


def test_everything_below_the_prefix_is_ours(host: Host) -> None:
    for path in ("nothing", "events/batch/x", "event", "eventsx", "Events", "health", "events%2Fbatch/x"):
        reply = host.request("POST", f"/api/analytics/{path}", body=b"{}")
        assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (404, "application/problem+json"), (
            path
        )


def test_the_healthcheck_is_true_and_asks_for_no_token(host: Host) -> None:
    reply = host.request("GET", "/api/analytics/healthcheck")
    assert (reply.status, reply.body) == (200, b"true")
    assert reply.headers["content-type"].partition(";")[0] == "application/json"
    head = host.request("HEAD", "/api/analytics/healthcheck")
    assert (head.status, head.body) == (200, b"")


def test_other_methods_are_told_what_is_allowed(host: Host) -> None:
    read = {"GET", "HEAD"}
    paths = {
        EVENTS: {"POST", *read},
        BATCH: {"POST"},
        "/api/analytics/healthcheck": read,
        "/api/analytics/refusals": read,
    }
    for path, methods in paths.items():
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
            if method in methods:
                continue
            reply = host.request(method, path, headers={"Authorization": f"Bearer {PRIVATE}"})
            assert reply.status == 405, (method, path)
            allowed = {each.strip() for each in reply.headers["allow"].split(",")}
            assert allowed == {*methods, "OPTIONS"}
            assert (reply.body == b"") == (method == "HEAD")


def test_aliases_serve_the_same_api(make_host) -> None:
    host = make_host(aliases=["/shop/signals", "/s"])
    if host.face == "django_urls":
        return  # there the host's own URLs are what says where
    for prefix in ("/api/analytics", "/shop/signals", "/s"):
        reply = host.from_page(an_event(), path=f"{prefix}/events")
        assert reply.json["requestUrl"] == f"http://{HOST}{prefix}/events"
        assert host.from_page({"events": [an_event()]}, path=f"{prefix}/events/batch").status == 200
        assert host.request("GET", f"{prefix}/healthcheck").json is True
        assert preflight(host, SHOP, path=f"{prefix}/events").headers["access-control-allow-origin"] == SHOP
        assert host.request("PUT", f"{prefix}/events").status == 405
        assert host.request("GET", f"{prefix}/nothing").status == 404
    assert host.request("GET", "/shop/signal").body == b"host: GET /shop/signal"
    assert len(host.rows()) == 6


def test_the_prefix_is_a_setting(make_host) -> None:
    host = make_host(prefix="/shop/signals")
    if host.face == "django_urls":
        return
    assert host.from_page(an_event(), path="/shop/signals/events").status == 200
    assert host.request("POST", EVENTS).body == f"host: POST {EVENTS}".encode()


CHROME_ON_ANDROID = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Mobile Safari/537.36"
)
IPAD = (
    "Mozilla/5.0 (iPad; CPU OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.5 "
    "Mobile/15E148 Safari/604.1"
)
FIREFOX_ON_WINDOWS = "Mozilla/5.0 (Windows NT 6.1; WOW64; rv:47.0) Gecko/20100101 Firefox/47.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def test_the_device_is_taken_from_the_user_agent(host: Host) -> None:
    expected = {
        FIREFOX_ON_WINDOWS: ("PC / Windows 7 / Firefox 47.0", "pc", "PC", "Windows 7", "Firefox 47.0"),
        CHROME_ON_ANDROID: (None, "mobile", "Pixel 8", "Android 14", "Chrome Mobile 126.0.0"),
        IPAD: (None, "tablet", "iPad", "iOS 16.5", "Mobile Safari 16.5"),
        "": ("Other / Other / Other", "other", "Other", "Other", "Other"),
        "my-shop-import/1.0": (None, "other", "Other", "Other", None),
    }
    for user_agent, (device, *stored) in expected.items():
        reply = host.from_page(an_event(), headers={"User-Agent": user_agent})
        if device is not None:
            assert reply.json["device"] == device
        row = host.rows()[-1]
        assert row["device"] == reply.json["device"]
        found = [row[name] for name in ("device_type", "device_family", "system", "browser")]
        assert [each for each, wanted in zip(found, stored, strict=True) if wanted] == [each for each in stored if each]


def test_a_given_device_is_kept_and_the_user_agents_stored_beside_it(host: Host) -> None:
    reply = host.from_page(an_event(device="Showroom kiosk"), headers={"User-Agent": FIREFOX_ON_WINDOWS})
    assert reply.json["device"] == "Showroom kiosk"
    [row] = host.rows()
    assert (row["device"], row["device_type"], row["system"]) == ("Showroom kiosk", "pc", "Windows 7")


def test_bots_are_stored_and_marked(make_host) -> None:
    seen: list[bool] = []
    host = make_host(register=lambda analytics: analytics.on()(lambda event: seen.append(event.is_bot)))
    assert host.from_page(an_event(), headers={"User-Agent": GOOGLEBOT}).status == 200
    assert host.from_page(an_event(), headers={"User-Agent": IPAD}).status == 200
    assert [row["device_type"] for row in host.rows()] == ["bot", "tablet"]
    assert seen == [True, False]


def test_the_user_agent_is_stored_only_when_asked_for(make_host) -> None:
    for asked in (False, True):
        host = make_host(store_user_agent=asked)
        reply = host.from_page(an_event(), headers={"User-Agent": GOOGLEBOT})
        [row] = host.rows()
        assert row["user_agent"] == (GOOGLEBOT if asked else None)
        assert "userAgent" not in reply.json


def test_a_hostile_user_agent_costs_nothing(host: Host) -> None:
    for user_agent in ("x" * 8000, "Linux CrKey/1.1." * 500, "; " * 4000, "\x7f" * 50, "äöü" * 20):
        assert host.from_page(an_event(), headers={"User-Agent": user_agent}).status == 200
