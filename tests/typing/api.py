"""Read by type checkers only: the public API as host applications use it."""

from collections.abc import Awaitable, Mapping

from flask import Flask
from typing_extensions import assert_type

from tk_analytics_mw import Analytics, Drop, Event, EventType, Principal, PrivateToken, PublicToken, Reject, Request
from tk_analytics_mw.flask import event_stored

analytics = Analytics(
    storage="sqlite:///analytics.db",
    tokens=[PublicToken("…", org_id="acme", domains=["shop.example.com"]), PrivateToken("…", org_id="acme")],
    public_orgs={"showroom"},
)


@analytics.on(EventType.CART_ADD)
def reserve_stock(event: Event) -> int:
    return len(event.id)


@analytics.on("product ordered", when="inline")
async def confirm(event: Event) -> None:
    assert_type(event.metric, float)


@analytics.before_store
def add_campaign(event: Event) -> Event:
    if event.is_bot:
        raise Reject("no bots")
    return event.with_metadata(campaign="spring")


@analytics.before_store
def consent(event: Event, request: Request | None) -> None:
    if request is not None and request.cookies.get("consent") != "yes":
        raise Drop("no consent")


assert_type(analytics.dropped, Mapping[str, int])


@event_stored.connect
def forward(sender: Flask, event: Event) -> None: ...


def plain(request: Request) -> Principal | None:
    return Principal("acme") if request.headers.get("x-api-key") else None


class Own:
    async def authenticate(self, request: Request) -> Principal | None:
        return plain(request)


Analytics(authenticator=plain)
Analytics(authenticator=Own())

assert_type(analytics.record(EventType.ORDERED, org_id="acme", session_id="s", metric=99.5), Event)
recorded: Awaitable[Event] = analytics.arecord("product ordered", org_id="acme", session_id="s")
analytics.record("product ordered", org_id="acme")  # type: ignore[call-arg]
Analytics(no_such_setting=1)  # type: ignore[call-arg]

analytics.webhook("https://erp.example.com/", secret=["…", "…"], events=[EventType.ORDERED], name="erp", ordered=True)
analytics.webhook(
    "https://erp.example.com/", secret="…", name="erp", total_timeout=20, resolve=lambda host, port: [host]
)
analytics.webhook("https://erp.example.com/", name="erp")  # type: ignore[call-arg]
analytics.webhook("https://erp.example.com/", secret="…", name="erp", redirects=True)  # type: ignore[call-arg]
