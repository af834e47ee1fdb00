"""Which origins a domain rule allows, and which rules there are."""

from __future__ import annotations

import pytest

from tk_analytics_mw import ConfigurationError, PublicToken
from tk_analytics_mw.auth.origins import Domains

ALLOWED = [
    ("shop.example.com", "https://shop.example.com"),
    ("shop.example.com", "http://shop.example.com"),
    ("shop.example.com", "HTTPS://SHOP.Example.COM"),
    ("Shop.Example.COM", "https://shop.example.com"),
    ("shop.example.com", "https://shop.example.com:443"),
    ("shop.example.com", "http://shop.example.com:80"),
    ("https://shop.example.com", "https://shop.example.com"),
    ("https://shop.example.com/", "https://shop.example.com"),
    ("https://shop.example.com:443", "https://shop.example.com"),
    ("shop.example.com:8443", "https://shop.example.com:8443"),
    ("localhost:5000", "http://localhost:5000"),
    ("localhost", "http://localhost"),
    ("127.0.0.1:8000", "http://127.0.0.1:8000"),
    ("*.example.com", "https://shop.example.com"),
    ("*.example.com", "https://a.b.c.example.com"),
    ("https://*.example.com", "https://eu.example.com"),
    ("*.example.com:8443", "https://eu.example.com:8443"),
    ("bücher.example", "https://xn--bcher-kva.example"),
    ("*.bücher.example", "https://shop.xn--bcher-kva.example"),
    ("https://bücher.example:8443", "https://xn--bcher-kva.example:8443"),
    ("straße.example", "https://xn--strae-oqa.example"),
    ("xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ("[::1]:8000", "http://[::1]:8000"),
    ("[2001:db8::1]", "https://[2001:DB8::1]"),
]

REFUSED = [
    ("shop.example.com", "https://example.com"),
    ("shop.example.com", "https://www.shop.example.com"),
    ("shop.example.com", "https://evilshop.example.com"),
    ("shop.example.com", "https://shop.example.com.evil.com"),
    ("shop.example.com", "https://shop.example.com.evil"),
    ("shop.example.com", "https://shopXexample.com"),
    ("shop.example.com", "https://shop-example.com"),
    ("shop.example.com", "https://evil.com/shop.example.com"),
    ("shop.example.com", "https://evil.com#shop.example.com"),
    ("shop.example.com", "https://evil.com?shop.example.com"),
    ("shop.example.com", "https://shop.example.com/"),
    ("shop.example.com", "https://shop.example.com/path"),
    ("shop.example.com", "https://shop.example.com."),
    ("shop.example.com", "https://shop.example.com@evil.com"),
    ("shop.example.com", "https://user@shop.example.com"),
    ("shop.example.com", "https://user:pass@shop.example.com"),
    ("shop.example.com", "https://evil.com\\.shop.example.com"),
    ("shop.example.com", "https://evil.com\\@shop.example.com"),
    ("shop.example.com", "https:\\\\shop.example.com"),
    ("shop.example.com", "https://shop.example.com\t"),
    ("shop.example.com", "https://shop\t.example.com"),
    ("shop.example.com", "https://shop.example.com\n"),
    ("shop.example.com", " https://shop.example.com"),
    ("shop.example.com", "https://shop.example.com "),
    ("shop.example.com", "https://shop.example.com\x00"),
    ("shop.example.com", "https://shop.example.com https://shop.example.com"),
    ("shop.example.com", "https://shop.example.com, https://shop.example.com"),
    ("shop.example.com", "https://shop.example.com:8443"),
    ("shop.example.com", "http://shop.example.com:443"),
    ("shop.example.com", "https://shop.example.com:"),
    ("shop.example.com", "https://shop.example.com:443443443"),
    ("shop.example.com", "shop.example.com"),
    ("shop.example.com", "//shop.example.com"),
    ("shop.example.com", "ftp://shop.example.com"),
    ("shop.example.com", "file://shop.example.com"),
    ("shop.example.com", "chrome-extension://shop.example.com"),
    ("shop.example.com", "null"),
    ("shop.example.com", ""),
    ("shop.example.com", "https://"),
    ("shop.example.com", "https://\u0455hop.example.com"),
    ("shop.example.com", "https://shop.example.com%2eevil.com"),
    ("shop.example.com", "https://shop.example.com" + ".example.com" * 100),
    ("https://shop.example.com", "http://shop.example.com"),
    ("http://shop.example.com", "https://shop.example.com"),
    ("shop.example.com:8443", "https://shop.example.com"),
    ("localhost:5000", "http://localhost:5001"),
    ("*.example.com", "https://example.com"),
    ("*.example.com", "https://evilexample.com"),
    ("*.example.com", "https://.example.com"),
    ("*.example.com", "https://shop.example.com.evil.com"),
    ("*.example.com", "https://*.example.com"),
    ("*.example.com", "https://evil.com\t.example.com"),
    ("*.example.com", "https://evil.com/.example.com"),
    ("*.example.com", "https://evil.com@shop.example.com"),
    ("*.example.com", "https://shop..example.com"),
    ("*.example.com", "https://shop.example.com:8443"),
    ("bücher.example", "https://bücher.example"),
    ("bücher.example", "https://bucher.example"),
    ("straße.example", "https://strasse.example"),
    ("[::1]:8000", "http://[::1]"),
    ("[::1]", "http://[::2]"),
    ("[::1]", "http://::1"),
]

NO_RULES = [
    "",
    " ",
    "*",
    "*.com",
    "*.de",
    "https://*",
    "*.*.example.com",
    "shop.*.com",
    "*example.com",
    "shop*.example.com",
    "ftp://shop.example.com",
    "shop.example.com/path",
    "user@shop.example.com",
    "shop.example.com:port",
    "shop example.com",
    "https://",
    "null",
    "*.192.0.2.1",
    "*.[::1]",
    "shop..example.com",
    ".example.com",
]


@pytest.mark.parametrize(("rule", "origin"), ALLOWED)
def test_a_rule_allows_its_origins(rule: str, origin: str) -> None:
    assert Domains([rule]).allows(origin)


@pytest.mark.parametrize(("rule", "origin"), REFUSED)
def test_a_rule_allows_nothing_else(rule: str, origin: str) -> None:
    assert not Domains([rule]).allows(origin)


@pytest.mark.parametrize("rule", [rule for rule in NO_RULES if rule != "null"])
def test_what_is_no_rule_stops_start_up(rule: str) -> None:
    with pytest.raises(ConfigurationError):
        PublicToken("token", org_id="acme", domains=[rule])


def test_no_rule_allows_the_origin_null() -> None:
    assert not Domains(["null", "*.null.example"]).allows("null")


def test_any_of_several_rules_may_allow_an_origin() -> None:
    domains = Domains(["a.example", "*.b.example", "localhost:5000"])
    assert all(map(domains.allows, ["https://a.example", "https://x.b.example", "http://localhost:5000"]))
    assert not domains.allows("https://b.example")


def test_domains_are_a_list_with_something_in_it() -> None:
    with pytest.raises(ConfigurationError, match="list"):
        PublicToken("token", org_id="acme", domains="shop.example.com")
    with pytest.raises(ConfigurationError):
        PublicToken("token", org_id="acme", domains=[])
