"""Webhooks of shops on real servers, delivered in their own processes or by the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.receiving import Receiver, raw
from tests.serving import serving
from tests.unit.making import ROOT
from tests.webhooks.conftest import SECRET

SHOP = """
from flask import Flask
from starlette.applications import Starlette
from tk_analytics_mw import Analytics, PrivateToken

analytics = Analytics(
    tokens=[PrivateToken("prv-of-a-webhook-shop", org_id="acme")],
    webhook_allow=["127.0.0.1"],
)
analytics.webhook("http://127.0.0.1:{port}/", secret="{secret}", name="erp", allow_http=True)

app = Flask("shop")
analytics.init_app(app)
asgi = Starlette()
analytics.install(asgi)
"""
GUNICORN = ("gunicorn", "--preload", "--workers", "2", "--threads", "2", "--bind", "127.0.0.1:{port}", "shop:app")
UVICORN = ("uvicorn", "--port", "{port}", "shop:asgi")


@pytest.fixture
def folder(tmp_path: Path, receiver: Receiver) -> Path:
    (tmp_path / "shop.py").write_text(SHOP.format(port=receiver.port, secret=SECRET))
    return tmp_path


def order(address: tuple[str, int], number: int) -> str:
    event = {"eventType": "product ordered", "orgId": "acme", "sessionId": "s", "metric": number}
    with closing(HTTPConnection(*address, timeout=60)) as connection:
        headers = {"Authorization": "Bearer prv-of-a-webhook-shop"}
        connection.request("POST", "/api/analytics/events", json.dumps(event), headers)
        response = connection.getresponse()
        assert response.status == 200
        return str(json.loads(response.read())["id"])


@pytest.mark.parametrize("command", [GUNICORN, UVICORN], ids=["gunicorn", "uvicorn"])
def test_a_server_delivers_in_its_own_processes(
    folder: Path, receiver: Receiver, command: tuple[str, ...], eventually: Callable[..., None]
) -> None:
    environment = {"PYTHONPATH": str(ROOT), "TK_ANALYTICS_DELIVER_IN_PROCESS": "1"}
    with serving(*command, folder=folder, environment=environment) as address:
        ids = {order(address, number) for number in range(20)}
        eventually(lambda: {request.json["data"]["id"] for request in receiver.received} == ids)
    for request in receiver.received:
        assert Webhook(SECRET).verify(request.body, request.headers)


def test_the_command_delivers_and_ends_when_the_request_under_way_is_answered(
    folder: Path, receiver: Receiver, eventually: Callable[..., None]
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with serving(*UVICORN, folder=folder, environment={"PYTHONPATH": str(ROOT)}) as address:
        order(address, 1)
        order(address, 2)
    receiver.otherwise = raw(b"HTTP/1.1 204 No", b" Content\r\n\r\n", pause=1.0, released=receiver.released)
    command = [sys.executable, "-m", "tk_analytics_mw", "deliver", "--app", "shop:analytics"]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as deliverer:
        eventually(lambda: receiver.received)
        deliverer.send_signal(signal.SIGTERM)
        said = deliverer.communicate(timeout=60)[1]
        assert deliverer.returncode == 0, said
    assert len(receiver.received) == 1
    receiver.otherwise = raw(b"HTTP/1.1 204 No Content\r\n\r\n")
    subprocess.run([*command, "--once"], cwd=folder, env=environment, capture_output=True, check=True, timeout=30)
    assert [request.json["data"]["metric"] for request in receiver.received] == [1, 2], "each of them once"
