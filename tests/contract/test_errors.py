"""Statuses and headers that every answer has, and what happens when the storage cannot."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.hosts.base import BATCH, EVENTS, PUBLIC, SHOP, Host, Reply, an_event
from tk_analytics_mw import Event, StorageUnavailable


class NoStorage:
    """A storage whose every write fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = 0

    def write(self, events: Sequence[Event]) -> None:
        self.asked += 1
        raise self.error

    def close(self) -> None:
        pass


def unavailable() -> StorageUnavailable:
    return StorageUnavailable("disk of hunter2 is full", retry_after=7)


def of_every_status(make_host) -> dict[int, Reply]:
    host: Host = make_host()
    replies = [
        host.from_page(an_event()),
        host.request("OPTIONS", EVENTS, headers={"Origin": SHOP, "Access-Control-Request-Method": "POST"}),
        host.from_page(an_event(), token="nobody"),
        host.from_page(an_event(orgId="rival")),
        host.request("POST", "/api/analytics/nothing"),
        host.request("DELETE", EVENTS),
        host.from_page(b" " * 70_000),
        host.from_page(b"", headers={"Content-Encoding": "gzip"}),
        host.from_page({}),
    ]
    # Django has its settings for the whole process: one host after the other.
    replies.append(make_host(storage=NoStorage(unavailable())).from_page(an_event()))
    return {reply.status: reply for reply in replies}


@pytest.fixture
def replies(make_host) -> dict[int, Reply]:
    found = of_every_status(make_host)
    assert set(found) == {200, 204, 401, 403, 404, 405, 413, 415, 422, 503}
    return found


def test_every_answer_has_the_security_headers(replies: dict[int, Reply]) -> None:
    for status, reply in replies.items():
        assert reply.headers.getlist("x-content-type-options") == ["nosniff"], status
        assert reply.headers.getlist("cache-control") == ["no-store"], status
        assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'", status
        assert "origin" in reply.headers["vary"].lower(), status
        assert "set-cookie" not in reply.headers, status
        if status == 204:
            assert (reply.body, reply.headers.get("content-type")) == (b"", None)
        else:
            assert reply.headers.getlist("content-length") == [str(len(reply.body))], status


def test_errors_are_problem_json(replies: dict[int, Reply]) -> None:
    for status, reply in replies.items():
        if status < 400:
            continue
        assert reply.headers["content-type"].partition(";")[0] == "application/problem+json"
        problem = reply.json
        assert problem["status"] == status
        assert all(isinstance(problem[name], str) and problem[name] for name in ("type", "title", "detail"))
        assert ("errors" in problem) == (status == 422)
        assert PUBLIC not in reply.body.decode()


def test_an_event_is_plain_json(replies: dict[int, Reply]) -> None:
    assert replies[200].headers["content-type"].replace(" ", "").lower() == "application/json;charset=utf-8"


def test_a_405_says_what_is_allowed_and_a_503_when_to_come_back(replies: dict[int, Reply]) -> None:
    assert "POST" in replies[405].headers["allow"]
    assert replies[503].headers["retry-after"] == "7"


def test_a_storage_that_is_not_available_is_503_and_its_reason_stays_in_the_log(
    make_host, caplog: pytest.LogCaptureFixture
) -> None:
    storage = NoStorage(unavailable())
    host = make_host(storage=storage)
    for reply in (host.from_page(an_event()), host.from_server({"events": [an_event()] * 3}, path=BATCH)):
        assert reply.status == 503
        assert b"hunter2" not in reply.body
    assert storage.asked == 2
    assert "disk of hunter2 is full" in caplog.text


def test_a_storage_that_fails_in_any_other_way_never_reaches_the_server(
    make_host, caplog: pytest.LogCaptureFixture
) -> None:
    host = make_host(storage=NoStorage(RuntimeError("hunter2")))
    reply = host.from_page(an_event())
    assert reply.status >= 500
    assert reply.headers["content-type"].partition(";")[0] == "application/problem+json"
    assert b"hunter2" not in reply.body
    assert "hunter2" in caplog.text
    results = host.from_server({"events": [an_event()] * 2}, path=BATCH).json
    assert [result["status"] >= 500 for result in results["results"]] == [True, True]
    assert host.request("GET", "/cart").body == b"host: GET /cart"


def test_nothing_is_acknowledged_of_what_is_not_stored(make_host) -> None:
    called: list[str] = []

    def register(analytics) -> None:
        analytics.on()(lambda event: called.append("after"))
        analytics.on(when="inline")(lambda event: called.append("inline"))

    host = make_host(storage=NoStorage(unavailable()), register=register)
    assert host.from_page(an_event()).status == 503
    assert called == []


def test_an_error_may_be_read_by_the_page(make_host) -> None:
    reply = make_host(storage=NoStorage(unavailable())).from_page(an_event())
    assert reply.headers["access-control-allow-origin"] == SHOP


def test_the_database_may_be_away_and_come_back(make_host) -> None:
    host = make_host()
    host.database.mkdir()  # SQLite cannot open a directory
    assert host.from_page(an_event()).status == 503
    host.database.rmdir()
    assert host.from_page(an_event()).status == 200
    assert len(host.rows()) == 1
