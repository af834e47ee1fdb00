"""What a receiver of webhooks sees, and what becomes of a delivery when it answers so or so."""

from __future__ import annotations

import json
import socket
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.receiving import Receiver, hang_up, raw, receiving, status
from tests.webhooks.conftest import NEXT_SECRET, SECRET, Shop
from tk_analytics_mw.storage.outbox import DeliveryQuery

NO_ANSWER = "127.0.0.1 closed the connection without an answer, or gave none in HTTP"


def url(receiver: Receiver, path: str = "/hooks?key=sesame", scheme: str = "http") -> str:
    return f"{scheme}://{receiver.host}:{receiver.port}{path}"


def at_once(attempt: int) -> float:
    return 0.0


def test_an_event_arrives_signed(shop: Shop, receiver: Receiver) -> None:
    shop.webhook(url(receiver), events=["produce ordered"])
    shop.analytics.record("product cart-add", org_id="acme", session_id="s")
    event_id = shop.record(metric=99.5, event_metadata={"order": 4711, "name": "Bär"})
    [row] = shop.deliver()
    [request] = receiver.received
    assert (row.state, row.attempts, row.error) == ("delivered", 1, None)
    assert request.path == "/hooks?key=sesame"
    assert Webhook(SECRET).verify(request.body, request.headers) == request.json
    assert request.headers["Webhook-Id"] == row.id == f"erp:{event_id}"
    assert "." not in request.headers["Webhook-Id"]
    assert abs(int(request.headers["Webhook-Timestamp"]) - time.time()) < 5
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Host"] == f"127.0.0.1:{receiver.port}"
    sent = request.json
    assert (sent["type"], sent["timestamp"]) == ("product ordered", sent["data"]["createdAt"])
    assert sent["data"]["id"] == event_id
    assert sent["data"]["eventMetadata"] == {"order": 4711, "name": "Bär"}
    assert len(request.body) < 1_000


def test_a_changed_request_is_not_verified(shop: Shop, receiver: Receiver) -> None:
    shop.webhook(url(receiver))
    shop.record()
    shop.deliver()
    [request] = receiver.received
    for headers, body, secret in (
        (request.headers, request.body + b" ", SECRET),
        ({**request.headers, "Webhook-Id": "another"}, request.body, SECRET),
        ({**request.headers, "Webhook-Timestamp": str(int(time.time()) - 1)}, request.body, SECRET),
        (request.headers, request.body, NEXT_SECRET),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


def test_the_type_is_canonical_however_the_event_was_spelled(shop: Shop, receiver: Receiver) -> None:
    shop.webhook(url(receiver), events="product ordered")
    shop.analytics.record("production ordered", org_id="acme", session_id="s")
    shop.deliver()
    [request] = receiver.received
    assert request.json["type"] == request.json["data"]["eventType"] == "product ordered"


def test_two_secrets_both_sign(shop: Shop, receiver: Receiver) -> None:
    shop.webhook(url(receiver), secret=[NEXT_SECRET, SECRET])
    shop.record()
    shop.deliver()
    [request] = receiver.received
    assert len(request.headers["Webhook-Signature"].split(" ")) == 2
    for secret in (SECRET, NEXT_SECRET):
        assert Webhook(secret).verify(request.body, request.headers)


def test_a_large_event_is_sent_whole(shop: Shop, receiver: Receiver) -> None:
    shop.webhook(url(receiver))
    shop.record(configuration={"text": "x" * 60_000})
    assert shop.deliver()[0].state == "delivered"
    [request] = receiver.received
    assert len(Webhook(SECRET).verify(request.body, request.headers)["data"]["configuration"]["text"]) == 60_000


def test_what_fails_is_tried_again_with_the_same_id_and_a_new_signature(shop: Shop, receiver: Receiver) -> None:
    shop.webhook(url(receiver), backoff=at_once)
    receiver.answers += [status(500), hang_up, raw(b"SMTP 220 hello\r\n\r\n"), status(302, Location="/elsewhere")]
    shop.record()
    [row] = shop.deliver()
    assert (row.state, row.attempts) == ("delivered", 5)
    assert len({request.headers["Webhook-Id"] for request in receiver.received}) == 1
    assert {request.path for request in receiver.received} == {"/hooks?key=sesame"}, "no redirect was followed"
    for request in receiver.received:
        assert Webhook(SECRET).verify(request.body, request.headers)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status(500), "127.0.0.1 answered 500 Internal Server Error"),
        (status(404), "127.0.0.1 answered 404 Not Found"),
        (status(302, Location="http://127.0.0.1/"), "answered 302 Found, and redirects are not followed"),
        (status(599), "127.0.0.1 answered 599"),
        (hang_up, NO_ANSWER),
        (raw(b"SMTP 220 hello\r\n\r\n"), NO_ANSWER),
        (raw(b"HTTP/1.1 200"), NO_ANSWER),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000), NO_ANSWER),
    ],
)
def test_why_it_failed_is_kept(shop: Shop, receiver: Receiver, answer: Any, said: str) -> None:
    shop.webhook(url(receiver))
    receiver.otherwise = answer
    shop.record()
    before = time.time()
    [row] = shop.deliver()
    assert (row.state, row.attempts) == ("retrying", 1)
    assert row.error is not None
    assert said in row.error
    assert row.due_at is not None
    assert 3.7 < row.due_at - before < 8, "5 s, give or take a quarter"


def test_given_up_at_last(shop: Shop, receiver: Receiver) -> None:
    shop.webhook(url(receiver), backoff=at_once, max_attempts=3)
    receiver.otherwise = status(500)
    shop.record()
    [row] = shop.deliver()
    assert (row.state, row.attempts, len(receiver.received)) == ("dead", 3, 3)


def in_an_hour() -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize(
    ("code", "value", "seconds"),
    [
        (429, lambda: "30", (30, 35)),
        (503, in_an_hour, (3_590, 3_605)),
        (429, lambda: "1", (5, 8)),  # not before the usual time
        (429, lambda: "Sun, 06 Nov 1994 08:49:37 GMT", (5, 8)),
        (429, lambda: "99999999999999999999", (43_200, 43_205)),
        (429, lambda: "soon", (3.7, 8)),
        (429, lambda: "-5", (3.7, 8)),
        (429, lambda: "", (3.7, 8)),
    ],
)
def test_retry_after_is_honoured(
    shop: Shop, receiver: Receiver, code: int, value: Any, seconds: tuple[float, float]
) -> None:
    shop.webhook(url(receiver))
    receiver.otherwise = status(code, Retry_After=value())
    shop.record()
    before = time.time()
    [row] = shop.deliver()
    assert row.due_at is not None
    assert seconds[0] <= row.due_at - before <= seconds[1]


@pytest.mark.parametrize(("code", "requests"), [(429, 1), (503, 1), (500, 5)])
def test_a_receiver_that_is_busy_gets_no_other_event_meanwhile(
    shop: Shop, receiver: Receiver, code: int, requests: int
) -> None:
    shop.webhook(url(receiver))
    receiver.otherwise = status(code, Retry_After="60")
    for _ in range(5):
        shop.record()
    rows = shop.deliver()
    assert len(receiver.received) == requests
    assert sum(row.attempts for row in rows) == requests, "what was not sent has lost no attempt"


def test_410_switches_the_webhook_off(shop: Shop, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    shop.webhook(url(receiver))
    receiver.answers += [status(410)]
    for _ in range(3):
        shop.record()
    rows = shop.deliver()
    counts = shop.analytics.outbox.counts()["erp"]
    assert len(receiver.received) == 1
    assert counts.off == "127.0.0.1 answered 410 Gone: it wants no more"
    assert counts.pending == len(rows) == 3, "nothing is lost"
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage() == f"the subscription 'erp' is switched off: {counts.off}"
    shop.record()
    shop.deliver()
    assert len(receiver.received) == 1
    shop.analytics.outbox.switch("erp", off=None)
    assert {row.state for row in shop.deliver()} == {"delivered"}
    assert len(receiver.received) == 5


# Time


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([b""], "127.0.0.1 gave no answer in time"),
        ([b"H"], "127.0.0.1 gave no answer in time"),
        ([bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500], "127.0.0.1 gave no answer in time"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"] * 500, "127.0.0.1 gave no answer in time"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", *[b"x"] * 500], None),  # the status has said it
    ],
    ids=["silence", "a byte", "slow headers", "many promises", "slow body"],
)
def test_nothing_stretches_an_attempt(shop: Shop, receiver: Receiver, pieces: list[bytes], error: str | None) -> None:
    shop.webhook(url(receiver), read_timeout=0.5, total_timeout=1.0)
    receiver.otherwise = raw(*pieces, pause=0.1 if len(pieces) > 1 else 30, released=receiver.released)
    shop.record()
    start = time.monotonic()
    [row] = shop.deliver()
    assert time.monotonic() - start < 10
    assert (row.state, row.error) == ("retrying" if error else "delivered", error)


def test_a_receiver_may_take_its_time(shop: Shop, receiver: Receiver) -> None:
    """The control: what is slow, but in time, is waited for."""
    shop.webhook(url(receiver), read_timeout=0.5, total_timeout=5.0)
    receiver.otherwise = raw(*[b"HTTP/1.1 204 No Content", b"\r\n\r\n"], pause=0.2, released=receiver.released)
    shop.record()
    assert shop.deliver()[0].state == "delivered"


@pytest.mark.parametrize("limits", [{"connect_timeout": 0.3}, {"total_timeout": 0.3}])
def test_a_receiver_that_accepts_and_says_nothing_in_tls(shop: Shop, limits: dict[str, float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        shop.webhook(f"https://127.0.0.1:{silent.getsockname()[1]}/", **limits)
        shop.record()
        start = time.monotonic()
        [row] = shop.deliver()
        assert row.error == "127.0.0.1 took no connection in time"
        assert time.monotonic() - start < 10


def test_nobody_is_there(shop: Shop) -> None:
    with receiving() as gone:
        pass
    shop.webhook(url(gone))
    shop.record()
    [row] = shop.deliver()
    assert row.error == "could not connect to 127.0.0.1: [Errno 111] Connection refused"


def test_a_resolver_that_hangs_holds_up_no_longer_than_anything_else(shop: Shop, receiver: Receiver) -> None:
    def hang(host: str, port: int) -> list[str]:
        receiver.released.wait(30)
        return ["127.0.0.1"]

    shop.webhook("http://hooks.example.com/", resolve=hang, total_timeout=0.3)
    shop.record()
    start = time.monotonic()
    [row] = shop.deliver()
    assert time.monotonic() - start < 10
    assert row.error == "hooks.example.com was not resolved within 0.3 s"


# Connections


def test_one_connection_serves_one_event_after_the_other_and_is_closed_in_the_end(
    shop: Shop, receiver: Receiver, eventually: Any
) -> None:
    shop.webhook(url(receiver))
    for _ in range(5):
        shop.record()
    assert {row.state for row in shop.deliver()} == {"delivered"}
    assert len(receiver.received) == 5
    assert len({request.port for request in receiver.received}) == receiver.connections == 1
    eventually(lambda: receiver.ended == 1)


@pytest.mark.parametrize("answer", [status(204, Connection="close"), raw(b"HTTP/1.1 204 No Content\r\n\r\n")])
def test_a_receiver_that_closes_connections_gets_further_ones(shop: Shop, receiver: Receiver, answer: Any) -> None:
    def close(handler: Any) -> None:
        answer(handler)
        handler.close_connection = True

    receiver.otherwise = close
    shop.webhook(url(receiver), backoff=at_once)
    for _ in range(5):
        shop.record()
    assert {row.state for row in shop.deliver()} == {"delivered"}
    assert receiver.connections >= 5


def test_an_endless_answer_is_not_read_to_its_end(shop: Shop, receiver: Receiver, eventually: Any) -> None:
    sent = []

    def endless(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            for _ in range(1_000):
                handler.wfile.write(b"x" * 1_000_000)
                sent.append(1)
        except OSError:
            sent.append(0)

    receiver.otherwise = endless
    shop.webhook(url(receiver))
    shop.record()
    assert shop.deliver()[0].state == "delivered", "the status has said everything"
    eventually(lambda: 0 in sent)
    assert sum(sent) < 20, "megabytes: what fits between the two ends"


def test_proxies_of_the_environment_are_not_used(
    shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        shop.webhook(url(receiver))
        shop.record()
        assert shop.deliver()[0].state == "delivered"
        assert (proxy.connections, receiver.connections) == (0, 1)


# What is not said


def test_neither_secret_nor_path_is_logged_kept_or_shown(
    shop: Shop, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    shop.webhook(url(receiver, "/inbox-4711?key=sesame"), backoff=at_once, max_attempts=8)
    receiver.answers += [
        status(500), status(302, Location="/"), hang_up, raw(b"sesame\r\n\r\n"), status(429), status(410),
    ]  # fmt: skip
    shop.record()
    [row] = shop.deliver()
    hook = shop.analytics.hooks.durable["erp"]
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("tk_analytics_mw")]
    said = "".join(ours) + repr(hook) + repr(hook.function) + json.dumps([row.error, row.id])
    said += repr(shop.analytics.outbox.counts())
    assert len(receiver.received) == 6
    assert "127.0.0.1" in said
    for word in ("sesame", "inbox-4711", "C2FVsBQI"):
        assert word not in said
    assert "inbox-4711" not in caplog.text, "nor does the library say it"


def test_several_webhooks_are_apart(shop: Shop, receiver: Receiver) -> None:
    shop.webhook(url(receiver, "/a"), name="a")
    shop.webhook(url(receiver, "/b"), name="b", secret=NEXT_SECRET, events=["product cart-add"])
    shop.record()
    shop.deliver()
    assert [request.path for request in receiver.received] == ["/a"]
    assert [row.name for row in shop.analytics.outbox.find(DeliveryQuery(), limit=9)] == ["a"]
