"""Exports of many events from real servers, while others write."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench.made import fill, organisations
from tests.hosts.base import EVENTS, PRIVATE
from tests.servers.running import ROOT
from tests.serving import serving

EVENTS_MADE = 60_000
CREATES = 300
ORGANISATION = organisations()[0].org_id
HEADERS = {"Authorization": f"Bearer {PRIVATE}"}

ASGI = ("uvicorn", "--port", "{port}", "--log-level", "warning", "tests.servers.exporting:asgi")
WSGI = (
    "gunicorn",
    *("--bind", "127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "4"),
    "tests.servers.exporting:wsgi",
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "analytics.db"
    fill(path, events=EVENTS_MADE, sessions=EVENTS_MADE // 20)
    return path


def stored(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT id FROM events WHERE org_id = ?", (ORGANISATION,))
        return {id_ for (id_,) in rows}


@pytest.fixture(params=[ASGI, WSGI], ids=["uvicorn", "gunicorn"])
def address(request: pytest.FixtureRequest, database: Path) -> Iterator[tuple[str, int]]:
    environment = {"SHOP_DATABASE": str(database), "PYTHONPATH": str(ROOT)}
    with serving(*request.param, folder=ROOT, environment=environment) as address:
        yield address


def create(address: tuple[str, int], statuses: list[int], stop: threading.Event) -> None:
    with closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
        body = json.dumps({"eventType": "product ordered", "orgId": ORGANISATION, "sessionId": "s-1"})
        while not stop.is_set() and len(statuses) < CREATES:
            connection.request("POST", EVENTS, body, HEADERS)
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)


def test_an_export_is_the_state_in_which_it_began_while_others_write(address: tuple[str, int], database: Path) -> None:
    before = stored(database)
    statuses: list[int] = []
    stop = threading.Event()
    writers = [threading.Thread(target=create, args=(address, statuses, stop)) for _ in range(4)]
    with closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
        connection.request("GET", f"{EVENTS}/export", headers=HEADERS)
        response = connection.getresponse()
        first = response.readline()  # it has begun
        for writer in writers:
            writer.start()
        while not statuses:
            stop.wait(0.001)
        rest = response.read()
        stop.set()
    for writer in writers:
        writer.join()
    assert response.status == 200
    assert {*statuses} == {200}
    lines = (first + rest).splitlines()
    found = [json.loads(line)["id"] for line in lines]
    assert len(found) == len(before)
    assert {*found} == before
    assert len(stored(database)) == len(before) + len(statuses)


def test_a_client_that_leaves_in_the_middle_harms_nobody(address: tuple[str, int]) -> None:
    with closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
        connection.request("GET", f"{EVENTS}/export", headers=HEADERS)
        connection.getresponse().readline()
    with closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
        connection.request("GET", f"{EVENTS}?perPage=1", headers=HEADERS)
        assert connection.getresponse().status == 200
