"""A host's own tests: what its application records, in every face."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from django.test import Client, override_settings
from flask import Flask

from tests.conftest import MakeHost
from tests.hosts.base import PUBLIC, SHOP, Host, an_event
from tk_analytics_mw import Analytics, ConfigurationError, Delivery, Event, PrivateToken, PublicToken
from tk_analytics_mw.hooks import Hooks
from tk_analytics_mw.testing import AnalyticsRecorder


class Hooked:
    """What hooks were called for."""

    def __init__(self) -> None:
        self.after: list[Event] = []
        self.durable: list[str] = []

    def register(self, analytics: Analytics) -> None:
        @analytics.on("product cart-add", when="inline")
        def note(event: Event) -> None:
            self.after.append(event)

        @analytics.on("product ordered", durable=True, name="mail")
        async def mail(event: Event, delivery: Delivery) -> None:
            if event.user_id == "nobody":
                raise ValueError("no address")
            self.durable.append(delivery.id)


@pytest.fixture
def hooked() -> Hooked:
    return Hooked()


@pytest.fixture
def host(make_host: MakeHost, hooked: Hooked) -> Host:
    return make_host(register=hooked.register)


@pytest.fixture
def recorder(host: Host) -> Iterator[AnalyticsRecorder]:
    with AnalyticsRecorder(host.analytics) as recorder:
        yield recorder


def test_what_the_application_records_is_there_and_not_in_its_database(
    host: Host, recorder: AnalyticsRecorder, hooked: Hooked
) -> None:
    reply = host.from_page(an_event(eventType="produce cart-add", assetId="chair"))
    assert reply.status == 200
    assert recorder.events[-1].asset_id == "chair"
    assert recorder.events == recorder.of("product cart-add") == recorder.of("produce cart-add") == hooked.after
    assert recorder.of("product ordered") == []
    assert reply.json["id"] == recorder.events[0].id
    assert host.from_page(an_event(eventType="nothing")).status == 422
    host.analytics.record("product ordered", org_id="acme", session_id="s-1")
    assert len(recorder.events) == 2
    assert not host.database.exists(), "it was not even opened"


def test_durable_hooks_are_delivered_when_the_test_says_so(
    host: Host, recorder: AnalyticsRecorder, hooked: Hooked
) -> None:
    first = host.from_page(an_event(eventType="product ordered")).json["id"]
    host.from_page(an_event(eventType="product ordered", userId="nobody"))
    assert hooked.durable == []
    delivered, failed = recorder.deliver()
    assert (delivered.name, delivered.event_id, delivered.state) == ("mail", first, "delivered")
    assert (failed.state, failed.error) == ("retrying", "ValueError: no address")
    assert hooked.durable == [delivered.id]
    recorder.deliver()
    assert hooked.durable == [delivered.id], "once"


def test_reads_and_a_repeated_request_work_as_ever(host: Host, recorder: AnalyticsRecorder) -> None:
    order = an_event(eventType="product ordered")
    first = host.from_server(order, headers={"Idempotency-Key": "o-1"})
    assert host.from_server(order, headers={"Idempotency-Key": "o-1"}).json == first.json
    assert len(recorder.events) == 1
    listing = host.request("GET", "/api/analytics/events", headers={"Authorization": "Bearer tka-private-of-acme-91bc"})
    assert [event["id"] for event in listing.json["events"]] == [first.json["id"]]


def test_afterwards_the_application_is_as_it_was(host: Host) -> None:
    with AnalyticsRecorder(host.analytics) as first:
        host.from_page(an_event())
    assert host.from_page(an_event(sessionId="real")).status == 200
    with AnalyticsRecorder(host.analytics) as second:
        assert second.events == []
    assert len(first.events) == 1
    with closing(sqlite3.connect(host.database)) as connection:
        assert connection.execute("SELECT session_id FROM events").fetchall() == [("real",)]


def test_before_it_begins_a_recorder_says_what_to_write() -> None:
    recorder = AnalyticsRecorder(Analytics(storage="memory://"))
    assert recorder.events == []
    with pytest.raises(ConfigurationError, match="with AnalyticsRecorder"):
        recorder.deliver()


def test_of_several_flask_applications_it_is_the_one_of_the_context() -> None:
    analytics = Analytics()
    apps = [Flask(str(number)) for number in range(2)]
    for app in apps:
        app.config["TK_ANALYTICS"] = {"STORAGE": "memory://", "TOKENS": [PrivateToken("prv-12345678", org_id="acme")]}
        analytics.init_app(app)
    with apps[1].app_context(), AnalyticsRecorder(analytics) as recorder:
        for app in apps:
            reply = app.test_client().post(
                "/api/analytics/events", json=an_event(), headers={"Authorization": "Bearer prv-12345678"}
            )
            assert reply.status_code == 200
        assert len(recorder.events) == 1


def test_with_djangos_override_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from tk_analytics_mw.django import analytics

    monkeypatch.setattr(analytics, "hooks", Hooks())  # a project has one, and other tests registered theirs
    token = PublicToken(PUBLIC, org_id="acme", domains=["shop.example.com"])
    with override_settings(
        TK_ANALYTICS={"STORAGE": "memory://", "TOKENS": [token]},
        MIDDLEWARE=["tk_analytics_mw.django.AnalyticsMiddleware"],
        ROOT_URLCONF="tests.hosts.django_plain_urls",
    ):
        with AnalyticsRecorder(analytics) as recorder:
            reply = Client().post(
                f"/api/analytics/events?bearer_token={PUBLIC}",
                an_event(),
                content_type="application/json",
                headers={"Origin": SHOP},
            )
            assert reply.status_code == 200
        assert [event.org_id for event in recorder.events] == ["acme"]
