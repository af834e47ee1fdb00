"""Where webhooks may go. Every case of the evidence on SSRF, through the public door."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tests.receiving import Receiver, receiving
from tests.webhooks.conftest import Shop
from tk_analytics_mw.addresses import DENIED, Reachable, ascii_host, system_resolver
from tk_analytics_mw.errors import AddressRefused, ConfigurationError

ADDRESSES = (
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1",
    "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::", "2002:a00:1::", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fec0::1", "ff02::1",
)  # fmt: skip
SPELLINGS = (
    "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "①②⑦.0.0.1", "localhost",
    "LOCALHOST", "0", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "127。0。0。1",
)  # fmt: skip
PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00::1",
)

dialled: list[Any] | None = None


def _listen(event: str, args: tuple[Any, ...]) -> None:
    if dialled is not None and event == "socket.connect":
        dialled.append(args[1])


sys.addaudithook(_listen)  # it cannot be taken away again


@pytest.fixture
def dials() -> Iterator[list[Any]]:
    """Every address that this process connects to."""
    global dialled
    dialled = []
    yield dialled
    dialled = None


def test_no_address_that_is_not_public_is_called_however_it_is_written(
    make_shop: Callable[..., Shop], dials: list[Any]
) -> None:
    shop = make_shop(webhook_allow=[])
    hosts = {f"a-{n}": f"[{each}]" if ":" in each else each for n, each in enumerate(ADDRESSES)}
    hosts |= {f"s-{n}": each for n, each in enumerate(SPELLINGS)}
    for name, host in hosts.items():
        shop.webhook(f"https://{host}/", name=name)
    shop.record()
    rows = shop.deliver()
    assert len(rows) == len(ADDRESSES) + len(SPELLINGS) >= 23 + 7
    for row in rows:
        assert row.state == "retrying", hosts[row.name]
        assert "and not in the setting webhook_allow" in str(row.error), (hosts[row.name], row.error)
    assert dials == []


def test_what_the_setting_allows_is_called(shop: Shop, receiver: Receiver, dials: list[Any]) -> None:
    """The control of the test before: a call would have been seen."""
    shop.webhook(f"http://127.1:{receiver.port}/")
    shop.record()
    assert shop.deliver()[0].state == "delivered"
    assert dials == [("127.0.0.1", receiver.port)]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_name_that_leads_there_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused, match="webhook_allow"):
        Reachable().check("hooks.example.com", [address])
    with pytest.raises(AddressRefused):
        Reachable().check("hooks.example.com", ["8.8.8.8", address, "2606:4700::1111"])


@pytest.mark.parametrize("network", [network for network, _ in DENIED], ids=str)
def test_the_whole_network_is_refused(network: Any) -> None:
    for address in (network[0], network[-1]):
        with pytest.raises(AddressRefused):
            Reachable().check("hooks.example.com", [str(address)])


def test_public_addresses_are_let_through() -> None:
    assert Reachable().check("hooks.example.com", [*PUBLIC, *PUBLIC]) == list(PUBLIC)


def test_only_2000_to_3fff_of_ipv6_is_public() -> None:
    for first in (16 * n + low for n in range(0x1000) for low in (0, 15) if n % 16 in (0, 15)):
        address = f"{first:x}:ffff:ffff::1"
        if ip_address(address) not in ip_network("2000::/3"):
            with pytest.raises(AddressRefused):
                Reachable().check("hooks.example.com", [address])


@pytest.mark.parametrize("address", ["fe80::1%eth0", "::1%lo"])
def test_an_interface_hides_nothing(address: str) -> None:
    with pytest.raises(AddressRefused):
        Reachable().check("hooks.example.com", [address])


@pytest.mark.parametrize("found", [[], ["nonsense"], [""], ["127.0.0.1:80"]])
def test_a_resolver_that_finds_nothing_of_use(found: list[str]) -> None:
    with pytest.raises(AddressRefused, match=r"hooks\.example\.com"):
        Reachable().find("hooks.example.com", 443, resolve=lambda host, port: found, seconds=1)


def test_a_name_that_nobody_has(shop: Shop) -> None:
    shop.webhook("https://hooks.invalid/")
    shop.record()
    [row] = shop.deliver()
    assert row.error is not None
    assert row.error.startswith("hooks.invalid could not be resolved: ")


# What is allowed


@pytest.mark.parametrize(
    ("allow", "host", "address", "passes"),
    [
        (["10.1.0.0/16"], "erp", "10.1.2.3", True),
        (["10.1.0.0/16"], "erp", "10.2.2.3", False),
        (["10.1.2.3"], "erp", "10.1.2.3", True),
        (["10.1.2.3"], "erp", "10.1.2.4", False),
        (["fd00::/8"], "erp", "fd00::1", True),
        (["[::1]"], "erp", "::1", True),
        (["127.0.0.0/8"], "erp", "::ffff:127.0.0.1", False),
        (["erp.internal"], "erp.internal", "10.1.2.3", True),
        (["ERP.Internal"], "erp.internal", "10.1.2.3", True),
        (["erp.internal"], "x.erp.internal", "10.1.2.3", False),
        (["erp.internal"], "erp", "10.1.2.3", False),
        (["straße.example"], "xn--strae-oqa.example", "10.1.2.3", True),
        (["straße.example"], "strasse.example", "10.1.2.3", False),
    ],
)
def test_the_allow_list(allow: list[str], host: str, address: str, passes: bool) -> None:
    if passes:
        assert Reachable(allow).check(host, [address]) == [address]
    else:
        with pytest.raises(AddressRefused):
            Reachable(allow).check(host, [address])


@pytest.mark.parametrize(
    "entry",
    [
        "10.1.2.3/16",
        "*.internal",
        "erp:8080",
        "http://erp",
        "",
        " ",
        "a b",
        "10.0.0.0/99",
        "erp/",
        "-erp",
        "fe80::1%eth0",
    ],
)
def test_what_allows_nothing_is_no_setting(make_shop: Callable[..., Shop], entry: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Analytics\(webhook_allow=…\)"):
        make_shop(webhook_allow=[entry])


def test_a_host_is_spelled_in_one_way() -> None:
    assert [ascii_host(host) for host in ("Hooks.Example.COM", "①②⑦.0.0.1", "::1", "my_service")] == [
        "hooks.example.com",
        "127.0.0.1",
        "::1",
        "my_service",
    ]


def test_the_system_finds_itself() -> None:
    assert "127.0.0.1" in system_resolver("localhost", 80)


# Rebinding: the name's owner changes what it leads to between the check and the call


@pytest.fixture
def two_receivers() -> Iterator[tuple[Receiver, Receiver]]:
    """One at an address that stands for the public, and one inside, on the same port."""
    with receiving("127.0.0.2") as public, receiving("127.0.0.1", public.port) as inside:
        yield public, inside


def test_a_name_that_leads_elsewhere_at_the_next_look_is_asked_once_and_refused_then(
    make_shop: Callable[..., Shop], two_receivers: tuple[Receiver, Receiver]
) -> None:
    public, inside = two_receivers
    answers: list[list[str]] = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.2"]]
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    shop = make_shop(webhook_allow=["127.0.0.2"])
    shop.webhook(f"http://hooks.example.com:{public.port}/", resolve=rebinding, backoff=lambda attempt: 0.0)
    shop.record()
    assert [row.state for row in shop.deliver()] == ["delivered"]
    assert (len(asked), len(public.received)) == (1, 1), "one look-up an attempt, and it went where the check had been"
    shop.record()
    rows = shop.deliver()
    assert [(row.state, row.attempts) for row in rows] == [("delivered", 1), ("delivered", 3)]
    assert (len(asked), len(public.received), inside.connections) == (4, 2, 0)
    assert public.received[0].headers["Host"] == f"hooks.example.com:{public.port}"


def test_a_kept_connection_is_not_used_when_the_name_has_moved(
    make_shop: Callable[..., Shop], two_receivers: tuple[Receiver, Receiver]
) -> None:
    first, second = two_receivers
    answers = iter([["127.0.0.2"], ["127.0.0.2"], ["127.0.0.1"]])
    shop = make_shop(webhook_allow=["127.0.0.0/8"])
    shop.webhook(f"http://hooks.example.com:{first.port}/", resolve=lambda host, port: next(answers))
    for _ in range(3):
        shop.record()
    assert {row.state for row in shop.deliver()} == {"delivered"}
    assert (first.connections, len(first.received), len(second.received)) == (1, 2, 1)


def test_the_next_address_is_tried_when_nobody_is_at_the_first(
    make_shop: Callable[..., Shop], receiver: Receiver, dials: list[Any]
) -> None:
    shop = make_shop(webhook_allow=["127.0.0.0/8"])
    url = f"http://hooks.example.com:{receiver.port}/"
    shop.webhook(url, resolve=lambda host, port: ["127.0.0.3", "127.0.0.1"])
    shop.record()
    assert shop.deliver()[0].state == "delivered"
    assert dials == [("127.0.0.3", receiver.port), ("127.0.0.1", receiver.port)]


def test_an_address_of_ipv6_is_called_by_its_url(make_shop: Callable[..., Shop]) -> None:
    with ExitStack() as stack:
        try:
            receiver = stack.enter_context(receiving("::1"))
        except OSError:
            pytest.skip("there is no IPv6 here")
        shop = make_shop(webhook_allow=["::1"])
        shop.webhook(f"http://[::1]:{receiver.port}/")
        shop.record()
        assert shop.deliver()[0].state == "delivered"
        assert receiver.received[0].headers["Host"] == f"[::1]:{receiver.port}"


# TLS: the name stays what is asked for, and what the certificate is of


def test_the_certificate_is_verified_against_the_name_and_not_the_address(
    shop: Shop, certified: Callable[[str], ssl.SSLContext], trusting: ssl.SSLContext
) -> None:
    with receiving(tls=certified("hooks.example.com")) as receiver:
        shop.webhook(
            f"https://hooks.example.com:{receiver.port}/",
            resolve=lambda host, port: ["127.0.0.1"],
            ssl_context=trusting,
            allow_http=False,
        )
        shop.record()
        assert shop.deliver()[0].state == "delivered"
        assert receiver.names == ["hooks.example.com"]
        assert receiver.received[0].headers["Host"] == f"hooks.example.com:{receiver.port}"


@pytest.mark.parametrize("trusted", [True, False])
def test_another_certificate_and_an_authority_that_is_not_trusted_are_refused(
    shop: Shop, certified: Callable[[str], ssl.SSLContext], trusting: ssl.SSLContext, trusted: bool
) -> None:
    with receiving(tls=certified("other.example.com" if trusted else "hooks.example.com")) as receiver:
        shop.webhook(
            f"https://hooks.example.com:{receiver.port}/",
            resolve=lambda host, port: ["127.0.0.1"],
            **({"ssl_context": trusting} if trusted else {}),
        )
        shop.record()
        [row] = shop.deliver()
        assert row.state == "retrying"
        assert "certificate verify failed" in str(row.error)
        assert receiver.received == []
