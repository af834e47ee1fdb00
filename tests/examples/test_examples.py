"""Every example is started on a real server and used."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.serving import serving
from tk_analytics_mw import Analytics
from tk_analytics_mw.storage.outbox import DeliveryQuery

EXAMPLES = Path(__file__).parents[2] / "examples"
EVENTS = "/api/analytics/events"
PAGE = {"Origin": "https://shop.example.com"}
CART_ADD = {"eventType": "product cart-add", "orgId": "acme", "sessionId": "s-1", "assetId": "lounge-chair"}
ORDERED = {"eventType": "product ordered", "orgId": "acme", "sessionId": "s-1", "metric": 99.5}


def private(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def ask(address: tuple[str, int], method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Send a request; give status and body, parsed if it is JSON. Underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(HTTPConnection(*address, timeout=60)) as connection:
        connection.request(method, path, json.dumps(body) if isinstance(body, dict) else body, named)
        response = connection.getresponse()
        text = response.read().decode()
    kind = response.headers.get_content_type()
    return response.status, json.loads(text) if kind.endswith("json") else text


def rows(database: Path, query: str = "SELECT event_type FROM events ORDER BY id") -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute(query)]


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def run(*command: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Run ``python -m command`` to its end, and see that it succeeds."""
    words = [sys.executable, "-m", *command]
    ended = subprocess.run(
        words, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_example_is_here() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    tested = set(re.findall(r'EXAMPLES / "([\w.]+)"', tests))
    assert tested == {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"}


def test_the_demo_plays_a_whole_session() -> None:
    demo = EXAMPLES / "flask_shop" / "demo.py"
    run = subprocess.run([sys.executable, str(demo)], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.findall(r"-> (\d+)", run.stdout) == ["200"] * 6 + ["401", "422"]
    assert run.stdout.count("hook write_journal") == 6
    assert "hook reserve_stock: 2 of lounge-chair" in run.stdout
    assert "hook confirm_order" in run.stdout
    assert "6 rows in the table" in run.stdout
    assert run.stdout.rstrip().endswith("make serve")


def test_flask_shop(tmp_path: Path) -> None:
    command = ("flask", "--app", str(EXAMPLES / "flask_shop" / "app.py"), "run", "--port", "{port}")
    with serving(*command, folder=tmp_path) as shop:
        status, page = ask(shop, "GET", "/")
        assert status == 200
        [url] = re.findall(r'const url = "(.*?)"', page)
        assert ask(shop, "POST", url, CART_ADD, Origin="http://localhost:5000")[0] == 200
        assert ask(shop, "POST", url, ORDERED, Origin="http://localhost:5000")[0] == 403, "an order made up by a page"
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        status, order = ask(shop, "POST", "/order", urlencode({"session_id": "s-1"}), **form)
        assert (status, order["metric"]) == (200, 349.5)
    assert rows(tmp_path / "analytics.db") == ["product cart-add", "product ordered"]


@pytest.mark.parametrize(
    "command",
    [
        ("gunicorn", "--bind", "127.0.0.1:{port}", "app:application"),
        ("uvicorn", "--port", "{port}", "app:asgi_application"),
    ],
    ids=["wsgi", "asgi"],
)
def test_django_shop(tmp_path: Path, command: tuple[str, ...]) -> None:
    database = tmp_path / "analytics.db"
    environment = {"TK_ANALYTICS_STORAGE": f"sqlite:///{database}"}
    with serving(*command, folder=EXAMPLES / "django_shop", environment=environment) as shop:
        with closing(HTTPConnection(*shop, timeout=60)) as connection:
            connection.request("GET", "/")
            response = connection.getresponse()
            page = response.read().decode()
        cookie = response.headers["Set-Cookie"].partition(";")[0]
        [url] = re.findall(r'const url = "(.*?)"', page)
        [csrf] = re.findall(r'name="csrfmiddlewaretoken" value="(.*?)"', page)
        status, event = ask(shop, "POST", url, CART_ADD, **PAGE)
        assert (status, event["eventMetadata"]) == (200, {"campaign": "spring"})
        form = {"Content_Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        assert ask(shop, "POST", "/order", urlencode({"session_id": "s-1"}), **form)[0] == 403, (
            "Django's CSRF protection"
        )
        signed = urlencode({"session_id": "s-1", "csrfmiddlewaretoken": csrf})
        assert ask(shop, "POST", "/order", signed, **form)[0] == 200
    assert rows(database) == ["product cart-add", "product ordered"]


def test_fastapi_shop(tmp_path: Path) -> None:
    database = tmp_path / "analytics.db"
    environment = {"TK_ANALYTICS_STORAGE": f"sqlite:///{database}"}
    command = ("uvicorn", "--port", "{port}", "app:app")
    with serving(*command, folder=EXAMPLES / "fastapi_shop", environment=environment) as shop:
        url = f"{EVENTS}?bearer_token=pub-demo-7d40f2ce916a"
        assert ask(shop, "POST", url, CART_ADD, **PAGE)[0] == 200
        assert ask(shop, "POST", url, CART_ADD, Origin="https://evil.example")[0] == 401
        asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
        assert ask(shop, "OPTIONS", url, **PAGE, **asked)[0] == 200
        sent = {"session_id": "s-1", "total": 12.5}
        status, order = ask(shop, "POST", "/orders", sent, Content_Type="application/json")
        assert (status, order["order"]) == (200, "accepted")
        assert {EVENTS, "/orders"} <= set(ask(shop, "GET", "/openapi.json")[1]["paths"])
    assert rows(database) == ["product cart-add", "product ordered"]


def test_custom_storage(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    command = ("gunicorn", "--workers", "2", "--bind", "127.0.0.1:{port}", "app:application")
    started = {"folder": EXAMPLES / "custom_storage", "environment": {"EVENTS": str(file)}}
    server = private("prv-demo-4e8c1b90d7f2")
    with serving(*command, **started) as shop:  # type: ignore[arg-type]
        first = [ask(shop, "POST", EVENTS, ORDERED, **server, Idempotency_Key=f"order-{n}") for n in range(10)]
        assert {status for status, _ in first} == {200}
        assert len(file.read_text().splitlines()) == 10
    with file.open("a") as torn:
        torn.write('{"id": "a line that a killed process did not finish')
    with serving(*command, **started) as shop:  # type: ignore[arg-type]
        again = [ask(shop, "POST", EVENTS, ORDERED, **server, Idempotency_Key=f"order-{n}") for n in range(10)]
        assert again == first, "a repeated request gets the first answer, from whichever worker"
        twice = {"events": [ORDERED, ORDERED]}
        status, batch = ask(shop, "POST", f"{EVENTS}/batch", twice, **server)
        assert (status, [result["status"] for result in batch["results"]]) == (200, [200, 200])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({line["id"] for line in lines}) == len(lines) == 12


def test_the_custom_storage_is_as_every_storage_must_be() -> None:
    folder = EXAMPLES / "custom_storage"
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "test_app.py"], cwd=folder, capture_output=True, text=True, timeout=150, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"(\d+) passed", run.stdout), run.stdout


def test_custom_authenticator(tmp_path: Path) -> None:
    environment = {"TK_ANALYTICS_STORAGE": f"sqlite:///{tmp_path / 'analytics.db'}"}
    command = ("uvicorn", "--port", "{port}", "app:app")
    with serving(*command, folder=EXAMPLES / "custom_authenticator", environment=environment) as shop:
        assert ask(shop, "POST", EVENTS, ORDERED, X_Api_Key="key-of-acme-62d1")[0] == 200
        assert ask(shop, "POST", EVENTS, ORDERED, X_Api_Key="key-of-nobody")[0] == 401
        assert ask(shop, "POST", EVENTS, ORDERED, X_Api_Key="key-of-late-payer-07b9")[0] == 403
        assert ask(shop, "POST", EVENTS, {**ORDERED, "orgId": "other"}, X_Api_Key="key-of-acme-62d1")[0] == 403
        assert ask(shop, "POST", f"{EVENTS}?shop=acme", CART_ADD, **PAGE)[0] == 200
        assert ask(shop, "POST", f"{EVENTS}?shop=acme", CART_ADD, Origin="https://late.example")[0] == 401
        assert ask(shop, "POST", EVENTS, CART_ADD)[0] == 401
    assert rows(tmp_path / "analytics.db") == ["product ordered", "product cart-add"]


def test_own_logins(tmp_path: Path) -> None:
    environment = {
        "SHOP_SECRET": "only-for-tests-" + "x" * 32,
        "TK_ANALYTICS_STORAGE": f"sqlite:///{tmp_path / 'analytics.db'}",
    }
    command = ("gunicorn", "--threads", "4", "--bind", "127.0.0.1:{port}", "app:app")
    with serving(*command, folder=EXAMPLES / "own_logins", environment=environment) as shop:
        token = re.search(r"bearer_token=([^\"]+)", ask(shop, "GET", "/")[1])
        assert token
        created = f"{EVENTS}?bearer_token={token[1]}"
        assert ask(shop, "POST", created, CART_ADD, **PAGE)[0] == 200
        assert ask(shop, "POST", created, CART_ADD, Origin="https://other.example")[0] == 401
        assert ask(shop, "POST", created[:-1], CART_ADD, **PAGE)[0] == 401
        assert ask(shop, "GET", f"{EVENTS}/funnel?bearer_token={token[1]}", **PAGE)[0] == 403, "a page only creates"

        form = {"Content_Type": "application/x-www-form-urlencoded"}
        assert ask(shop, "POST", "/login", "password=guess", **form)[0] == 403
        with closing(HTTPConnection(*shop, timeout=60)) as connection:
            connection.request(
                "POST", "/login", "password=open-sesame", {"Content-Type": "application/x-www-form-urlencoded"}
            )
            cookie = connection.getresponse().headers["Set-Cookie"].partition(";")[0]
        page = {"Sec_Fetch_Site": "same-origin"}
        below = re.search(r'fetch\("([^"]+)"', ask(shop, "GET", "/figures")[1])
        assert below
        assert ask(shop, "GET", below[1], **page)[0] == 401
        status, funnel = ask(shop, "GET", f"{below[1]}?steps=product+cart-add", **page, Cookie=cookie)
        assert (status, funnel["steps"][0]["sessions"]) == (200, 1)
        assert ask(shop, "GET", below[1], Sec_Fetch_Site="cross-site", Cookie=cookie)[0] == 401


def test_event_hooks(tmp_path: Path) -> None:
    database = tmp_path / "shop.db"
    environment = {
        "SHOP_DATABASE": str(database),
        "TK_ANALYTICS_STORAGE": f"sqlite:///{tmp_path / 'analytics.db'}",
    }
    command = ("gunicorn", "--threads", "4", "--bind", "127.0.0.1:{port}", "app:app")
    with serving(*command, folder=EXAMPLES / "event_hooks", environment=environment) as shop:
        url = f"{EVENTS}?bearer_token=pub-demo-c26f90a1d8e4"
        status, event = ask(shop, "POST", url, {**CART_ADD, "metric": 3}, **PAGE)
        assert (status, event["eventMetadata"]) == (200, {"price": 349.5})
        assert rows(database, "SELECT reserved FROM stock") == [3], "reserved by the time of the answer"
        status, refusal = ask(shop, "POST", url, {**CART_ADD, "assetId": "sofa"}, **PAGE)
        assert (status, refusal["errors"][0]["msg"]) == (422, "there is no such product")
        assert ask(shop, "POST", EVENTS, ORDERED, **private("prv-demo-3b75e1f60c9a"))[0] == 200
        assert eventually(lambda: rows(database, "SELECT text FROM chat") == ["an order of 99.50 EUR"])
    assert rows(tmp_path / "analytics.db") == ["product cart-add", "product ordered"]
    confirmations = "SELECT text FROM confirmations"
    assert rows(database, confirmations) == [], "they wait, however the server ended"
    command = ("flask", "--app", "app", "tk-analytics", "deliver", "--once")
    for _ in range(2):
        run(*command, folder=EXAMPLES / "event_hooks", environment=environment)
        assert rows(database, confirmations) == ["99.50 EUR"]


def test_webhook_receiver(tmp_path: Path) -> None:
    database = tmp_path / "orders.db"
    secret = "whsec_eyd7Cn6mBR2Lr9LqzPvJv3oEfWcWTvJM"
    environment = {"ORDERS_DATABASE": str(database), "WEBHOOK_SECRET": secret}
    command = ("gunicorn", "--bind", "127.0.0.1:{port}", "app:app")
    with serving(*command, folder=EXAMPLES / "webhook_receiver", environment=environment) as receiver:
        shop = Analytics(storage=f"sqlite:///{tmp_path / 'analytics.db'}", webhook_allow=["127.0.0.1"])
        url = f"http://127.0.0.1:{receiver[1]}/webhooks"
        shop.webhook(url, secret=secret, name="orders", allow_http=True)
        order = shop.record("product ordered", org_id="acme", session_id="s-1", metric=99.5)
        shop.record("product session end", org_id="acme", session_id="s-1")
        for _ in range(2):
            shop.deliver(once=True)
            assert {row.state for row in shop.outbox.find(DeliveryQuery(), limit=10)} == {"delivered"}
            assert shop.outbox.replay(DeliveryQuery(name="orders")) == 2, "and again"
        shop.close()
        assert rows(database, "SELECT event_id || total FROM orders") == [f"{order.id}99.5"], "once"
        signature = {"webhook_timestamp": str(int(time.time())), "webhook_id": "x"}
        for forged in ({}, {**signature, "webhook_signature": "v1,AAAA"}, {**signature, "webhook_signature": "junk"}):
            assert ask(receiver, "POST", "/webhooks", ORDERED, **forged)[0] == 401
    assert rows(database, "SELECT count(*) FROM seen") == [2]


def test_task_queue(tmp_path: Path) -> None:
    database = tmp_path / "shop.db"
    environment = {
        "SHOP_DATABASE": str(database),
        "TK_ANALYTICS_STORAGE": f"sqlite:///{tmp_path / 'analytics.db'}",
    }
    server = private("prv-demo-71f0c9be24ad")
    with serving(
        "uvicorn", "--port", "{port}", "app:app", folder=EXAMPLES / "task_queue", environment=environment
    ) as shop:
        status, event = ask(shop, "POST", EVENTS, {**ORDERED, "eventMetadata": {"order": 4711}}, **server)
        assert status == 200
        mails = "SELECT event_id || ' ' || order_number FROM mails"
        assert eventually(lambda: rows(database, mails) == [f"{event['id']} 4711"])
