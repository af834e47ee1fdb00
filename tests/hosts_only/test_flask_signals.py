"""Flask's own signal: blinker's, sent by the application that has stored the event."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from blinker import ANY
from flask import Flask, current_app

from tests.hosts.base import BATCH, EVENTS, PRIVATE, an_event, choose_by_session, default_options
from tk_analytics_mw import Analytics, Event, Reject
from tk_analytics_mw.flask import event_stored

SERVER = {"Authorization": f"Bearer {PRIVATE}"}


@pytest.fixture
def analytics(tmp_path: Path) -> Iterator[Analytics]:
    made = Analytics(storage=f"sqlite:///{tmp_path}/analytics.db", **default_options())
    yield made
    made.close()
    event_stored.receivers.clear()  # of this test, held strongly
    event_stored._clear_state()


@pytest.fixture
def app(analytics: Analytics) -> Flask:
    made = Flask("shop")
    analytics.init_app(made)
    return made


def create(app: Flask, body: Any = None, path: str = EVENTS, **headers: str) -> Any:
    response = app.test_client().post(path, json=body or an_event(), headers={**SERVER, **headers}, buffered=True)
    assert response.status_code == 200
    return response.json


def test_a_receiver_gets_the_application_and_the_stored_event_in_its_context(app: Flask) -> None:
    seen: list[tuple[Flask, str, Event]] = []

    @event_stored.connect
    def receiver(sender: Flask, event: Event) -> None:
        seen.append((sender, current_app.name, event))

    answer = create(app, an_event(eventType="produce cart-add"))
    [(sender, name, event)] = seen
    assert sender is app
    assert (name, event.id, event.event_type) == ("shop", answer["id"], "product cart-add")


def test_an_async_receiver_is_awaited_in_the_same_context(app: Flask) -> None:
    seen: list[tuple[str, str]] = []

    class Receiver:
        async def __call__(self, sender: Flask, *, event: Event, **extra: Any) -> None:
            await asyncio.sleep(0.001)
            seen.append((current_app.name, event.id))

    receiver = Receiver()
    event_stored.connect(receiver)
    event_stored.connect(receiver.__call__, weak=False)
    answer = create(app)
    assert seen == [("shop", answer["id"])] * 2


def test_a_receiver_that_raises_is_logged_and_changes_nothing(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def explode(sender: Flask, event: Event) -> None:
        raise ZeroDivisionError("hunter2")

    async def explode_async(sender: Flask, event: Event) -> None:
        raise Reject("hunter3")

    def without_event(sender: Flask) -> None: ...

    receivers = [explode, explode_async, without_event]
    receivers += [lambda sender, event: seen.append(event.id) for _ in range(6)]
    for receiver in receivers:
        event_stored.connect(receiver, weak=False)
    event_id = create(app)["id"]
    assert seen == [event_id] * 6, "blinker's order is a set's: some come behind the failing ones"
    assert "hunter2" in caplog.text
    assert "hunter3" in caplog.text
    assert f"explode failed for event {event_id}" in caplog.text


def test_it_is_sent_when_the_answer_is_out_and_behind_the_hooks(analytics: Analytics, app: Flask) -> None:
    seen: list[str] = []
    analytics.on()(lambda event: seen.append("after"))
    analytics.on(when="inline")(lambda event: seen.append("inline"))
    event_stored.connect(lambda sender, event: seen.append("signal"), weak=False)
    environ = app.test_request_context(EVENTS, method="POST", json=an_event(), headers=SERVER).request.environ
    answer = app.wsgi_app(environ, lambda status, headers, exc_info=None: seen.append(status))
    parts = iter(answer)
    assert b'"id"' in next(parts)
    assert seen == ["inline", "200 OK"]
    answer.close()  # type: ignore[attr-defined]
    assert seen == ["inline", "200 OK", "after", "signal"]


def test_each_event_of_a_batch_is_sent_and_none_that_was_refused_dropped_or_repeated(
    analytics: Analytics, app: Flask
) -> None:
    seen: list[str] = []
    analytics.before_store(choose_by_session)
    event_stored.connect(lambda sender, event: seen.append(event.session_id), weak=False)
    batch = {"events": [an_event(sessionId=name) for name in ("a", "drop", "", "reject", "b")]}
    for _ in range(2):
        create(app, batch, BATCH, Idempotency_Key="once")
    assert seen == ["a", "b"]


def test_applications_that_share_an_analytics_send_each_for_itself(tmp_path: Path) -> None:
    analytics = Analytics(**default_options())
    apps = []
    for name in ("one", "two"):
        app = Flask(name)
        app.config["TK_ANALYTICS"] = {"storage": f"sqlite:///{tmp_path}/{name}.db"}
        analytics.init_app(app)
        apps.append(app)
    seen: list[tuple[str, str, str]] = []

    def into(where: str) -> Any:
        return lambda sender, event: seen.append((where, sender.name, current_app.name))

    with (
        event_stored.connected_to(into("any"), sender=ANY),
        event_stored.connected_to(into("one's"), sender=apps[0]),
        event_stored.connected_to(into("two's"), sender=apps[1]),
    ):
        for app in apps:
            seen.clear()
            create(app)
            assert sorted(seen) == [("any", app.name, app.name), (f"{app.name}'s", app.name, app.name)]
            seen.clear()
            with app.app_context():
                analytics.record("product ordered", org_id="acme", session_id="s")
            assert sorted(seen) == [("any", app.name, app.name), (f"{app.name}'s", app.name, app.name)]
    for app in apps:
        with app.app_context():
            analytics.close()


def test_host_code_s_events_are_sent_before_record_returns(analytics: Analytics, app: Flask) -> None:
    seen: list[str] = []

    async def receiver(sender: Flask, event: Event) -> None:
        await anyio.sleep(0.001)
        seen.append(f"async {event.id} {sender.name} {current_app.name}")

    event_stored.connect(receiver)
    event_stored.connect(
        lambda sender, event: seen.append(f"plain {event.id} {sender.name} {current_app.name}"), weak=False
    )
    ids = [analytics.record("product ordered", org_id="acme", session_id="s").id]

    async def order() -> str:
        return (await analytics.arecord("product ordered", org_id="acme", session_id="s")).id

    ids += [anyio.run(order, backend=backend) for backend in ("asyncio", "trio")]
    assert sorted(seen) == sorted(f"{kind} {each} shop shop" for each in ids for kind in ("plain", "async"))


def test_blinker_s_own_ways_hold(app: Flask) -> None:
    seen: list[Event] = []

    def receiver(sender: Flask, event: Event) -> None:
        seen.append(event)

    event_stored.connect(receiver, sender=app)
    with event_stored.muted():
        create(app)
    assert seen == []
    create(app)
    assert len(seen) == 1
    event_stored.disconnect(receiver, sender=app)
    create(app)
    assert len(seen) == 1
    event_stored.connect(receiver, sender=Flask("another"))
    create(app)
    assert len(seen) == 1
    event_stored.connect(receiver)
    del receiver  # weakly held
    create(app)
    assert len(seen) == 1
