"""A shop with webhooks, and the certificates of its receivers."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.receiving import Receiver, receiving
from tk_analytics_mw import Analytics
from tk_analytics_mw.storage.outbox import DeliveryQuery, DeliveryRow

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NEXT_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


class Shop:
    """An application that records events in its own code and delivers when it is told to."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        options = {"storage": f"sqlite:///{folder / 'analytics.db'}", "webhook_allow": ["127.0.0.1"], **settings}
        self.analytics = Analytics(**options)

    def webhook(self, url: str, **options: Any) -> None:
        self.analytics.webhook(url, **{"secret": SECRET, "name": "erp", "allow_http": True, **options})

    def record(self, **fields: Any) -> str:
        return self.analytics.record("product ordered", **{"org_id": "acme", "session_id": "s", **fields}).id

    def deliver(self) -> list[DeliveryRow]:
        """Deliver what is due, and give all deliveries, the oldest event first."""
        self.analytics.deliver(once=True)
        return self.analytics.outbox.find(DeliveryQuery(), limit=1_000)[::-1]


@pytest.fixture
def make_shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    with ExitStack() as shops:

        def make(**settings: Any) -> Shop:
            shop = Shop(tmp_path, **settings)
            shops.callback(shop.analytics.close)
            return shop

        yield make


@pytest.fixture
def shop(make_shop: Callable[..., Shop]) -> Shop:
    """A shop whose webhooks may go to 127.0.0.1."""
    return make_shop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Without TLS."""
    with receiving() as found:
        yield found


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What a client has that trusts our authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def certified(authority: trustme.CA) -> Callable[[str], ssl.SSLContext]:
    """What a server has that is this host."""

    def make(name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    return make
