"""Which addresses may be called on somebody's word: those of the public internet, and what a setting allows.

Who may say where a webhook goes could otherwise have this server call what only it can reach: a database's
console, a cloud's metadata. ``ipaddress.is_global`` is no help: it passes 64:ff9b::7f00:1 and 2002:7f00:1::,
both of which can end at 127.0.0.1.
"""

from __future__ import annotations

import queue
import re
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

import idna

from tk_analytics_mw.errors import AddressRefused, ConfigurationError

Resolve = Callable[[str, int], Iterable[str]]
"""From a host name and a port to addresses, as texts. Raises ``OSError`` if there are none."""

Network = IPv4Network | IPv6Network

# IANA's registries of special-purpose addresses, and what clouds keep for themselves. The first one that fits
# gives the reason. Of IPv6, what is not 2000::/3 is nobody's public address.
DENIED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(text), what)
    for text, what in (
        ("0.0.0.0/8", "this host"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a provider's customers (CGNAT)"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "of a cloud's own services"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "for protocols"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "of 6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "this host"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b::/96", "of NAT64"),
        ("64:ff9b:1::/48", "of NAT64"),
        ("100::/64", "discarded"),
        ("2001::/32", "of Teredo"),
        ("2001::/23", "for protocols"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "of 6to4"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
        ("::/3", "reserved"),
        ("4000::/2", "reserved"),
        ("8000::/1", "reserved"),
    )
)

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")


def system_resolver(host: str, port: int) -> list[str]:
    """Ask the operating system: its hosts file, its name servers, in its order of preference."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Reachable:
    """The addresses that may be called.

    Args:
        allow: host names, addresses and networks (``10.1.0.0/16``) that may be called although they are not public.

    Raises:
        ConfigurationError: an entry is none of them.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._hosts: set[str] = set()
        self._networks: list[Network] = []
        for entry in allow:
            network = _network(entry)
            if network is None:
                self._hosts.add(ascii_host(entry))
            else:
                self._networks.append(network)

    def check(self, host: str, addresses: Iterable[str]) -> list[str]:
        """The addresses, each once and in its one spelling, if every one of them may be called.

        One that may not refuses the host: a name that leads to the public and into the house alike is a mistake,
        or somebody's plan.

        Args:
            host: whose addresses they are, in ASCII and lower case.
            addresses: as a resolver gives them.

        Raises:
            AddressRefused: one of them may not be called, or there is none.
        """
        parsed = list(dict.fromkeys(map(_address, addresses)))
        if not parsed:
            raise AddressRefused(f"{host} has no address")
        if host not in self._hosts:
            for address in parsed:
                what = self._denied(address)
                if what is not None:
                    raise AddressRefused(f"{host} is {address}, which is {what}, and not in the setting webhook_allow")
        return list(map(str, parsed))

    def find(self, host: str, port: int, *, resolve: Resolve, seconds: float) -> list[str]:
        """Resolve a host, and :meth:`check` what comes of it.

        Args:
            host: a name or an address, in whichever spelling the resolver understands.
            port: of the service.
            resolve: the resolver.
            seconds: it may take.

        Raises:
            AddressRefused: the host may not be called, or was not found within that time.
        """
        try:
            return self.check(host, _within(seconds, resolve, host, port))
        except TimeoutError:
            raise AddressRefused(f"{host} was not resolved within {seconds:.3g} s") from None
        except (OSError, ValueError) as error:  # the latter from getaddrinfo's codec, or of what is no address
            why = error.strerror if isinstance(error, OSError) else None
            raise AddressRefused(f"{host} could not be resolved: {why or type(error).__name__}") from None

    def _denied(self, address: IPv4Address | IPv6Address) -> str | None:
        if any(address in network for network in self._networks):
            return None
        return next((what for network, what in DENIED if address in network), None)


def ascii_host(host: str) -> str:
    """A host as it is looked up: a name as ``xn--…``, in lower case; an IPv6 address without brackets.

    Raises:
        ConfigurationError: it is not one.
    """
    name = host.lower()
    if ":" in name and _network(name) is not None and "/" not in name:
        return name.strip("[]")
    try:
        # UTS 46 as browsers do it: the standard library's codec makes another domain of straße.de.
        name = name if name.isascii() else idna.encode(name, uts46=True).decode()
    except idna.IDNAError:
        name = ""
    if _HOST.fullmatch(name) is None:
        raise ConfigurationError(f"{host!r} is no host: write its name or address alone, such as 'hooks.example.com'")
    return name


def _network(text: str) -> Network | None:
    if "%" in text:
        return None  # an interface of ours: not a place that others know
    try:
        return ip_network(text.strip("[]"))
    except ValueError as error:
        if "/" in text:
            raise ConfigurationError(f"{text!r} is no network such as 10.1.0.0/16: {error}") from None
        return None


def _address(text: str) -> IPv4Address | IPv6Address:
    return ip_address(text.partition("%")[0])  # %eth0: an interface of ours, for link-local ones


def _within(seconds: float, function: Callable[..., Iterable[str]], *args: Any) -> Sequence[str]:
    """Call ``function``, which may hang as ``getaddrinfo`` does, and wait so long for its result at most."""
    results: queue.SimpleQueue[Sequence[str] | BaseException] = queue.SimpleQueue()

    def call() -> None:
        try:
            results.put(list(function(*args)))
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            results.put(error)

    threading.Thread(target=call, name="tk-analytics-resolver", daemon=True).start()
    try:
        result = results.get(timeout=max(seconds, 0.0))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(result, BaseException):
        raise result
    return result
