"""What the README says is true: its code runs, its commands answer, its tables are complete."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tk_analytics_mw
from tests.databases.postgresql import PostgreSQL
from tests.docs.settings_table import README, table, written
from tests.serving import serving

TEXT = README.read_text()
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^\$ (curl .*?[^\\])$", TEXT, re.DOTALL | re.MULTILINE)


def block(containing: str) -> str:
    [found] = [text for text in PYTHON_BLOCKS if containing in text]
    return found


@pytest.fixture(scope="module")
def flask_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The README's Flask application, on a real server."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "app.py").write_text(block("# app.py"))
    with serving("gunicorn", "--bind", "127.0.0.1:{port}", "--threads", "2", "app:app", folder=folder) as (host, port):
        yield f"{host}:{port}"


def command(containing: str) -> str:
    [found] = [text for text in COMMANDS if containing in text]
    return found


def output(command: str, server: str) -> str:
    words = shlex.split(command.replace("\\\n", " "))
    # Only where the request goes to: its Origin stays the one that the page would have.
    words = [word.replace("http://localhost:5000/", f"http://{server}/") for word in words]
    return subprocess.run(words, capture_output=True, check=True, timeout=60, text=True).stdout


def run(command: str, server: str) -> object:
    return json.loads(output(command, server))


def test_every_curl_line_answers_as_the_readme_says(flask_server: str) -> None:
    page, server, batch, health = map(command, ("?bearer_token", "Idempotency-Key", "/batch", "/healthcheck"))
    event = run(page, flask_server)
    assert isinstance(event, dict)
    assert (event["eventType"], event["metric"], event["requestOrigin"]) == (
        "product cart-add",
        2,
        "http://localhost:5000",
    )
    order = run(server, flask_server)
    assert isinstance(order, dict)
    assert order["eventMetadata"] == {"order": 4711}
    assert run(server, flask_server) == order
    results = run(batch, flask_server)
    assert isinstance(results, dict)
    assert [result["status"] for result in results["results"]] == [200, 422]
    assert run(health, flask_server) is True
    listing = run(command("events?assetId"), flask_server)
    assert isinstance(listing, dict)
    assert listing["events"] == [event]
    assert len(output(command("format=csv"), flask_server).splitlines()) == 4
    figures: list[Any] = [run(command(f"events/{name}?"), flask_server) for name in ("views", "funnel", "breakdown")]
    views, funnel, breakdown = figures
    assert views["views"][-1]["cumulative"] == 3
    assert [step["sessions"] for step in funnel["steps"]] == [1, 0, 0, 0, 0]
    assert breakdown["total"]["sum"] == 99.5
    assert "attributes" in output(command("events/attributes"), flask_server)


@pytest.mark.parametrize("text", PYTHON_BLOCKS, ids=lambda text: text.splitlines()[0][:40])
def test_every_block_of_python_compiles(text: str) -> None:
    compile("async def page():\n" + "".join(f"    {line}\n" for line in text.splitlines()), "README.md", "exec")


def test_the_hooks_of_the_readme_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = {name: getattr(tk_analytics_mw, name) for name in tk_analytics_mw.__all__} | {"__name__": __name__}
    exec(block("# app.py"), namespace)
    exec(block("def after_the_answer"), namespace)
    event = namespace["analytics"].record("product ordered", org_id="acme", session_id="s")
    assert event.event_metadata == {"campaign": "spring"}


def test_the_webhook_of_the_readme_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ERP_SECRET", "whsec_eyd7Cn6mBR2Lr9LqzPvJv3oEfWcWTvJM")
    namespace = {"__name__": __name__, "os": os}
    exec(block("# app.py"), namespace)
    exec(block('"https://erp.example.com/inbox"'), namespace)
    assert repr(namespace["analytics"].hooks.durable["erp"].function) == "<Webhook 'erp' to https://erp.example.com>"


def test_the_consent_and_the_sampling_of_the_readme_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = {name: getattr(tk_analytics_mw, name) for name in tk_analytics_mw.__all__} | {"__name__": __name__}
    exec(block("# app.py"), namespace)
    exec(block("def consent"), namespace)
    client = namespace["app"].test_client(use_cookies=False)
    token = {"Authorization": "Bearer prv-9a4d07c35e1b4f28"}
    yes = {"Cookie": "consent=yes"}
    for headers in ({}, yes, {**yes, "DNT": "1"}):
        for number in range(50):
            event = {"eventType": "product ordered", "orgId": "acme", "sessionId": f"s-{number}"}
            assert client.post("/api/analytics/events", json=event, headers={**token, **headers}).status_code == 200
    dropped = namespace["analytics"].dropped
    assert dropped == {"no consent": 100, "sampled": dropped["sampled"]}
    assert 30 < dropped["sampled"] < 50


def test_the_signals_of_the_readme_are_connected() -> None:
    from tk_analytics_mw.django.signals import event_stored as of_django
    from tk_analytics_mw.flask import event_stored as of_flask

    flask, django = ({"__name__": __name__} for _ in range(2))
    exec(block("tk_analytics_mw.flask import event_stored"), flask)
    exec(block("tk_analytics_mw.django.signals import event_stored"), django)
    assert flask["forward"] in list(of_flask.receivers_for(object()))
    assert of_django.has_listeners(object())


def test_the_fastapi_application_of_the_readme_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "readme_main.py").write_text(block("# main.py"))
    monkeypatch.syspath_prepend(tmp_path)
    app = importlib.import_module("readme_main").app
    assert [middleware.cls.__module__ for middleware in app.user_middleware] == ["tk_analytics_mw.asgi"]


def test_the_django_settings_of_the_readme_start(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "hooks.py").write_text(block("# shop/hooks.py"))
    settings = block("# settings.py") + "SECRET_KEY = 'x'\nROOT_URLCONF = 'urls'\nALLOWED_HOSTS = ['*']\n"
    (tmp_path / "settings.py").write_text(settings)
    (tmp_path / "urls.py").write_text("urlpatterns = []\n")
    program = (
        "import django; django.setup(); import shop.hooks\n"
        "from django.test import Client\n"
        "answer = Client().post('/api/analytics/events', '{}', content_type='application/json',"
        " headers={'authorization': 'Bearer prv-9a4d07c35e1b4f28'})\n"
        "assert answer.status_code == 422, answer.content\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, timeout=60)


def test_the_order_of_the_readme_and_its_event_are_one_transaction(
    postgresql: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.fresh().replace("postgresql:", "postgresql+psycopg:")
    text = block("# orders.py").replace("postgresql+psycopg://shop@localhost/shop", url)
    (tmp_path / "readme_orders.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    shop = importlib.import_module("readme_orders")
    seen: list[str] = []
    shop.analytics.on("product ordered")(lambda event: seen.append(event.session_id))
    with shop.app.app_context():
        shop.db.create_all()
    client = shop.app.test_client()
    assert [client.post("/orders/1").status_code for _ in range(2)] == [200, 500], "there is an order 1 already"
    assert seen == ["of the browser"]
    shop.analytics.close()
    with shop.app.app_context():
        shop.db.engine.dispose()


def test_the_table_of_settings_is_complete() -> None:
    assert written() == table(), "run python -m tests.docs.settings_table"


@pytest.mark.parametrize("name", [name for name in tk_analytics_mw.__all__ if name not in {"__version__"}])
def test_every_public_name_is_in_the_readme(name: str) -> None:
    assert re.search(rf"\b{name}\b", TEXT), f"{name} is not in the README"


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert (README.parent / target).exists(), target
