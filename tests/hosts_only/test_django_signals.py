"""Django's own signal, in synchronous and asynchronous stacks, on every Django there is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from django.db import connection, connections
from django.test import AsyncClient

from tests.hosts.base import BATCH, EVENTS, PRIVATE, Host, an_event, choose_by_session, default_options
from tests.hosts.django_faces import DjangoAsgi, DjangoUrls, DjangoWsgi
from tk_analytics_mw import Event
from tk_analytics_mw.django import analytics
from tk_analytics_mw.django.signals import event_stored

FACES = [DjangoWsgi, DjangoAsgi, DjangoUrls]


@pytest.fixture(params=FACES, ids=lambda face: face.face)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    made = request.param(
        tmp_path / "analytics.db", default_options(), lambda analytics: analytics.before_store(choose_by_session)
    )
    yield made
    made.close()
    with event_stored.lock:
        event_stored.receivers.clear()
        event_stored.sender_receivers_cache.clear()


def plain(seen: list[Any]) -> Any:
    def receiver(sender: Any, event: Event, **extra: Any) -> None:
        seen.append(("plain", sender, event.id))

    return receiver


def async_(seen: list[Any]) -> Any:
    async def receiver(sender: Any, event: Event, **extra: Any) -> None:
        await anyio.sleep(0.001)
        seen.append(("async", sender, event.id))

    return receiver


@pytest.mark.parametrize("kinds", [[plain], [async_], [plain, async_, plain]], ids=["plain", "async", "both"])
def test_receivers_get_the_stored_event(host: Host, eventually: Any, kinds: list[Any]) -> None:
    seen: list[Any] = []
    for kind in kinds:
        event_stored.connect(kind(seen), weak=False)
    ids = [host.from_page(an_event()).json["id"]]
    eventually(lambda: len(seen) == len(kinds))
    ids.append(host.from_server(an_event()).json["id"])
    eventually(lambda: len(seen) == 2 * len(kinds))
    expected = [(kind.__name__.strip("_"), analytics, event_id) for event_id in ids for kind in kinds]
    assert sorted(seen, key=repr) == sorted(expected, key=repr)


def test_receivers_of_one_sender(host: Host, eventually: Any) -> None:
    seen: list[Any] = []
    event_stored.connect(plain(seen), sender=analytics, weak=False)
    event_stored.connect(plain(seen), sender="somebody else", weak=False)
    host.from_page(an_event())
    eventually(lambda: seen)
    assert len(seen) == 1


@pytest.mark.parametrize("kind", [plain, async_])
def test_a_receiver_that_raises_is_logged_with_the_event_and_changes_nothing(
    host: Host, eventually: Any, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Explosive(list[Any]):
        def append(self, item: Any) -> None:
            raise ZeroDivisionError("hunter2")

    seen: list[Any] = []
    event_stored.connect(kind(Explosive()), weak=False)
    event_stored.connect(plain(seen), weak=False)
    event_stored.connect(async_(seen), weak=False)
    reply = host.from_page(an_event())
    assert reply.status == 200
    eventually(lambda: len(seen) == 2)
    eventually(lambda: f"failed for event {reply.json['id']}" in caplog.text)
    assert "hunter2" in caplog.text
    assert len(host.rows()) == 1


def test_each_event_of_a_batch_is_sent_and_none_that_was_refused_dropped_or_repeated(
    host: Host, eventually: Any
) -> None:
    seen: list[str] = []
    event_stored.connect(lambda event, **extra: seen.append(event.session_id), weak=False)
    batch = {"events": [an_event(sessionId=name) for name in ("a", "drop", "", "reject", "b")]}
    for _ in range(2):
        assert host.from_server(batch, path=BATCH, headers={"Idempotency-Key": "once"}).status == 200
    assert host.from_server(an_event(sessionId="last")).status == 200
    eventually(lambda: "last" in seen)
    assert seen == ["a", "b", "last"]


def test_an_async_receiver_runs_on_the_loop_of_the_server(tmp_path: Path, eventually: Any) -> None:
    host = DjangoAsgi(tmp_path / "analytics.db", default_options(), lambda analytics: None)
    loops: list[Any] = []

    async def receiver(**extra: Any) -> None:
        loops.append(asyncio.get_running_loop())

    async def send() -> None:
        loops.append(asyncio.get_running_loop())
        headers = {"Authorization": f"Bearer {PRIVATE}"}
        reply = await AsyncClient().post(EVENTS, an_event(), "application/json", headers=headers)
        assert reply.status_code == 200
        while len(loops) < 2:
            await asyncio.sleep(0.001)

    try:
        event_stored.connect(receiver)
        asyncio.run(asyncio.wait_for(send(), 10))
    finally:
        event_stored.disconnect(receiver)
        host.close()
    assert loops[0] is loops[1]


def test_a_plain_receiver_leaves_no_database_connection_open(
    host: Host, eventually: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []

    def receiver(**extra: Any) -> None:
        with connections["default"].cursor() as cursor:
            assert cursor.execute("SELECT 1").fetchone() == (1,)
        used.append(connections["default"])

    connection.close()
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "host.db"), "CONN_MAX_AGE": 0}
    for name, value in database.items():
        monkeypatch.setitem(connection.settings_dict, name, value)
    event_stored.connect(receiver)
    try:
        assert host.from_page(an_event()).status == 200
        eventually(lambda: used and used[0].connection is None)
    finally:
        connection.close()


@pytest.mark.parametrize("how", ["record", "arecord on asyncio", "arecord on trio", "record on asyncio"])
def test_host_code_s_events_are_sent_before_record_returns(host: Host, how: str) -> None:
    seen: list[Any] = []
    for kind in (plain, async_):
        event_stored.connect(kind(seen), weak=False)
    fields: dict[str, Any] = {"org_id": "acme", "session_id": "s"}

    async def arecord() -> Event:
        return await analytics.arecord("product ordered", **fields)

    async def record() -> Event:
        return analytics.record("product ordered", **fields)

    if how == "record":
        event = analytics.record("product ordered", **fields)
    else:
        backend = how.rpartition(" ")[2]
        event = anyio.run(arecord if how.startswith("arecord") else record, backend=backend)
    assert sorted(seen, key=repr) == [("async", analytics, event.id), ("plain", analytics, event.id)]
