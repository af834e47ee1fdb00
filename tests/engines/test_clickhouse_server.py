"""ClickHouse over HTTP: what a user is told, what goes over the wire, and what is left of connections."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.databases.clickhouse import ClickHouse, storage_at
from tests.hosts.base import EVENTS, PRIVATE, an_event, default_options
from tests.hosts.flask_faces import FlaskClient
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.clickhouse import connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS as TABLE
from tk_analytics_mw.storage.erasure import Subject
from tk_analytics_mw.testing import an_event as a_stored_event

pytest.importorskip("clickhouse_connect")

AS_SERVER = {"Authorization": f"Bearer {PRIVATE}"}
WRONG = "wrong-password-of-the-shop"
MADE = 200_000
MANY = f"""
    INSERT INTO {TABLE} (org_id, created_at, id, event_type, session_id, metric, referer, record, asset_id)
    SELECT 'acme', now64(3) - number % 86400, unhex(leftPad(hex(number), 32, '0')), 'product cart-add',
        concat('s-', toString(number)), 1, '', '',
        toString(number) FROM numbers({MADE})
"""


def a_host(url: str, folder: Path) -> FlaskClient:
    return FlaskClient(folder / "nothing.db", {**default_options(), "storage": url}, lambda analytics: None)


@pytest.fixture
def host(clickhouse: ClickHouse, tmp_path: Path) -> Iterator[FlaskClient]:
    made = a_host(clickhouse.emptied(), tmp_path)
    yield made
    made.close()


def test_a_wrong_password_is_503_and_nowhere(
    clickhouse: ClickHouse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    host = a_host(clickhouse.url("default", password=WRONG), tmp_path)
    created = host.from_page(an_event())
    read = host.request("GET", EVENTS, headers=AS_SERVER)
    for reply in (created, read):
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) > 0
        assert "password" not in reply.body.decode(), "it is the operator's affair"
    assert "AUTHENTICATION_FAILED" in caplog.text
    for text in (created.body.decode(), read.body.decode(), caplog.text, clickhouse.output):
        assert WRONG not in text
    host.close()


def test_a_question_that_takes_too_long_is_503(
    clickhouse: ClickHouse, host: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clickhouse.ask(MANY, clickhouse.emptied())

    def status() -> int:
        reply = host.request("GET", f"{EVENTS}/breakdown", query="by=assetId", headers=AS_SERVER)
        assert reply.status == 200 or "takes more than 0.03 s" in reply.json["detail"]
        return reply.status

    assert status() == 200
    with monkeypatch.context() as patch:
        patch.setattr(connections, "READ_SECONDS", 0.03)
        assert [status(), status()] == [503, 503]
    assert status() == 200


def test_no_value_that_somebody_asked_for_is_in_a_url_or_a_log(
    clickhouse: ClickHouse, host: FlaskClient, caplog: pytest.LogCaptureFixture, eventually: Any
) -> None:
    """A proxy logs URLs, and so does the client when a connection breaks."""
    caplog.set_level(logging.DEBUG)
    jane = "jane@shop.example"
    body = an_event(userId=jane, eventMetadata={"order": jane})

    def asked() -> list[int]:
        found = host.request("GET", EVENTS, query=f"userId={jane}", headers=AS_SERVER)
        return [host.from_server(body, headers={"Idempotency-Key": jane}).status, found.status]

    assert asked() == [200, 200]
    [*_] = host.analytics.find_parts().storage.erasure.erase(Subject(user_id=jane))  # type: ignore[attr-defined]
    assert asked() == [200, 200]
    clickhouse.kill()
    assert asked() == [503, 503]
    clickhouse.start()
    assert asked() == [200, 200]
    assert "Connection refused" in caplog.text
    assert "POST /?" in clickhouse.output
    for text in (caplog.text, clickhouse.output):
        assert "jane" not in text


def test_lists_that_are_longer_than_a_server_takes_are_asked_for_all_the_same(clickhouse: ClickHouse) -> None:
    """It takes 128 KiB of one value. Batches that wait together are written together; a year has 8,760 hours."""
    storage = storage_at(clickhouse.emptied())
    events = [
        a_stored_event(number, idempotency_key=f"{number:04}" + "\\" * 196, session_id=f"{number // 5:03}" + "🛒" * 197)
        for number in range(1_000)
    ]
    again = [a_stored_event(5_000 + number, idempotency_key=events[number].idempotency_key) for number in range(1_000)]
    assert storage.write(events) == events
    assert storage.write(again) == events
    assert storage.reader.count(Filter("acme")).events == len(events)
    sessions = storage.reader.sessions(Filter("acme"), limit=200).sessions
    assert {session.session_id for session in sessions} == {event.session_id for event in events}
    assert {session.events for session in sessions} == {5}
    begin = events[0].created_at - timedelta(hours=5_000)
    views = storage.figures.views(Filter("acme"), [begin + timedelta(hours=number) for number in range(10_001)])
    assert (len(views), sum(views), views[5_000]) == (10_000, 1_000, 1_000)
    storage.close()


def test_as_many_may_ask_at_once_as_there_are_threads_and_close_leaves_no_connection(
    clickhouse: ClickHouse, caplog: pytest.LogCaptureFixture
) -> None:
    storage = storage_at(clickhouse.emptied())
    before = connections_to(clickhouse.port)
    storage.write([a_stored_event(1)])
    with ThreadPoolExecutor(16) as pool:
        counts = [*pool.map(lambda _: storage.reader.count(Filter("acme")).events, range(64))]
    assert counts == [1] * 64
    assert connections_to(clickhouse.port) > before, "they are kept for the next question"
    storage.close()
    assert connections_to(clickhouse.port) == before
    assert caplog.text == ""


def connections_to(port: int) -> int:
    """How many connections this process has open to a port of this machine."""
    sockets = set()
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it was that of the listing itself
            sockets.add(str(file.readlink()))
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(line[2].endswith(f":{port:04X}") and f"socket:[{line[9]}]" in sockets for line in lines)
