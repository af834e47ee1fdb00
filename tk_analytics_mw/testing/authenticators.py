"""What every authenticator must do: the tests of :class:`~tk_analytics_mw.Authenticator`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import anyio
import pytest

from tk_analytics_mw.access import authenticate
from tk_analytics_mw.analytics import Analytics
from tk_analytics_mw.auth.base import Authenticator, AuthenticatorFunction, Principal
from tk_analytics_mw.errors import Refused
from tk_analytics_mw.messages import Request
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.waiting import run_blocking


@dataclass(frozen=True)
class Credentials:
    """What a client sends to say who it is."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Cookies and ``Origin`` too."""
    query: str = ""

    def request(self) -> Request:
        """A request that has them."""
        return Request(
            {
                "type": "http",
                "method": "POST",
                "scheme": "https",
                "path": "/api/analytics/events",
                "raw_path": b"/api/analytics/events",
                "root_path": "",
                "query_string": self.query.encode("latin-1"),
                "headers": [
                    (b"host", b"shop.example.com"),
                    *(
                        (name.lower().encode("latin-1"), value.encode("latin-1"))
                        for name, value in self.headers.items()
                    ),
                ],
                "server": ("shop.example.com", 443),
                "client": None,
            }
        )


@dataclass(frozen=True)
class Presented:
    """An authenticator, and what it is to say.

    Attributes:
        authenticator: an object or a function, as for the setting ``authenticator``.
        good: for each organisation, the headers and the query string that speak for it.
        bad: headers and query strings that speak for nobody: forged, expired, revoked.
        away: the same authenticator whose service, database or network cannot be reached, if it has one.
    """

    authenticator: Authenticator | AuthenticatorFunction
    good: Mapping[str, tuple[Mapping[str, str], str]]
    bad: Sequence[tuple[Mapping[str, str], str]] = ()
    away: Authenticator | AuthenticatorFunction | None = None


def blocking(parts: Parts, request: Request) -> Principal:
    """Ask as WSGI does."""
    return run_blocking(authenticate(request, parts, parts.blocking))


def awaiting(parts: Parts, request: Request) -> Principal:
    """Ask as ASGI does, on asyncio."""

    async def ask() -> Principal:
        return await authenticate(request, parts, parts.awaiting)

    return anyio.run(ask)


Ask = Callable[[Parts, Request], Principal]

# Of whatever is sent. Some of it no server lets through; what they let through differs.
_CHANGES: tuple[Callable[[str], str], ...] = (
    lambda value: value[:0],
    lambda value: value[:0] + " ",
    lambda value: value[:-1],
    lambda value: value + "x",
    lambda value: value + "\x00",
    lambda value: value[::-1],
    lambda value: "\xff\xfe" + value,
    lambda value: value * 500,
    lambda value: value.replace(value, "'; DROP TABLE tokens; --"),
    lambda value: value.replace(value, "null"),
)


class AuthenticatorSuite:
    """Who is known is let in, everybody else is not, under WSGI and ASGI. Subclass it with ``presented``."""

    @pytest.fixture
    def presented(self) -> Presented:
        """Override it: give the authenticator and what it is to say."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture presented()")

    @pytest.fixture(params=[blocking, awaiting], ids=["wsgi", "asgi"])
    def ask(self, request: pytest.FixtureRequest) -> Ask:
        """Both ways to ask."""
        return request.param  # type: ignore[no-any-return]

    @pytest.fixture
    def parts(self, presented: Presented) -> Iterator[Parts]:
        """An application with the authenticator, and no tokens beside it."""
        yield from _application(presented.authenticator)

    def good(self, presented: Presented) -> list[tuple[str, Credentials]]:
        """Organisations with their credentials."""
        assert presented.good, "give at least one that is let in"
        return [(org_id, Credentials(*sent)) for org_id, sent in presented.good.items()]

    def test_who_is_known_is_let_in_for_his_organisation(self, presented: Presented, parts: Parts, ask: Ask) -> None:
        for org_id, credentials in self.good(presented):
            for _ in range(2):
                principal = ask(parts, credentials.request())
                assert (type(principal), principal.org_id) == (Principal, org_id)
                assert principal.kind in ("public", "private")
                if principal.kind == "public":
                    assert principal.domains, "a public principal without domains is of no use"

    def test_nobody_is_let_in_without_credentials(self, parts: Parts, ask: Ask) -> None:
        for credentials in (Credentials(), Credentials({"Origin": "https://shop.example.com"})):
            self._refused(ask, parts, credentials)

    def test_who_is_unknown_is_refused(self, presented: Presented, parts: Parts, ask: Ask) -> None:
        for sent in presented.bad:
            self._refused(ask, parts, Credentials(*sent))

    def test_credentials_that_are_changed_a_little_are_nobodys(
        self, presented: Presented, parts: Parts, ask: Ask
    ) -> None:
        """And none of it is a failure of the authenticator: whatever is sent, it decides."""
        for _, credentials in self.good(presented):
            for changed in _changed(credentials):
                self._refused(ask, parts, changed)

    def test_a_name_for_logs_does_not_tell_the_secret(self, presented: Presented, parts: Parts, ask: Ask) -> None:
        for _, credentials in self.good(presented):
            principal = ask(parts, credentials.request())
            if principal.kind == "private":
                for secret in _secrets(credentials):
                    assert secret not in repr(principal)

    def test_many_are_told_apart_at_once(self, presented: Presented, parts: Parts) -> None:
        known = self.good(presented)

        def check(number: int) -> None:
            org_id, credentials = known[number % len(known)]
            assert (awaiting if number % 2 else blocking)(parts, credentials.request()).org_id == org_id
            self._refused(blocking, parts, Credentials())

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(check, range(40)))

    def test_a_check_that_cannot_be_made_is_never_passed(self, presented: Presented, ask: Ask) -> None:
        if presented.away is None:
            pytest.skip("it needs nothing that could be away")
        for parts in _application(presented.away):
            for _, credentials in self.good(presented):
                with pytest.raises(Refused) as caught:
                    ask(parts, credentials.request())
                assert caught.value.status == 503, "the client is to try again"

    def _refused(self, ask: Ask, parts: Parts, credentials: Credentials) -> None:
        try:
            principal = ask(parts, credentials.request())
        except Refused as refused:
            if refused.status not in (401, 403):
                pytest.fail(f"for {credentials} it raised something that is not Refused: the log has it")
        else:
            pytest.fail(f"{credentials} was let in, as {principal}")


def _application(authenticator: Any) -> Iterator[Parts]:
    analytics = Analytics(storage="memory://", tokens=[], authenticator=authenticator)
    yield analytics.find_parts()
    analytics.close()


def _secrets(credentials: Credentials) -> Iterator[str]:
    for name, value in credentials.headers.items():
        if name.lower() != "origin":
            yield value.rpartition(" ")[2]
    for _, value in parse_qsl(credentials.query):
        yield value


def _changed(credentials: Credentials) -> Iterator[Credentials]:
    """Each value that is sent, changed in each way; but ``Origin``, which is no credential."""
    for name, value in credentials.headers.items():
        if name.lower() != "origin":
            start, space, secret = value.rpartition(" ")
            for change in _CHANGES:
                if change(secret) != secret:
                    yield replace(credentials, headers={**credentials.headers, name: start + space + change(secret)})
    fields = parse_qsl(credentials.query)
    for place, (name, value) in enumerate(fields):
        for change in _CHANGES:
            if change(value) == value:
                continue
            changed = [*fields[:place], (name, change(value)), *fields[place + 1 :]]
            yield replace(credentials, query=urlencode(changed, quote_via=quote, encoding="latin-1", errors="replace"))
