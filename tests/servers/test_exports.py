"""Exports of many events from real servers, while others write."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench.made import filling
from tests.servers.names import EVENTS, ORGANISATION, PLAIN_TYPE, TOKEN
from tests.servers.running import AS_SERVER, ROOT, an_event, stored_ids
from tests.serving import serving

EXPORTED = int(os.environ.get("EXPORTED_EVENTS", "100_000"))
"""With 5_000_000 of them the tests of this file take some minutes."""
CREATES = 1_000
"""At the same time."""
MEMORY = 100 * 1024
"""KiB that a server may take more than before."""
PIECE = 1 << 20

ASGI = ("uvicorn", "--port", "{port}", "--log-level", "warning", "tests.servers.exporting:asgi")
WSGI = (
    "gunicorn",
    *("--bind", "127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "4"),
    "tests.servers.exporting:wsgi",
)

ID = b"01900000-0000-7000-8000-%012x"
"""Of the n-th event."""
FILL = f"""
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO events (id, created_at, event_type, spelling, org_id, session_id, event_metadata, asset_id,
        configuration, device, metric, request_url, request_origin, referer)
    SELECT printf('{ID.decode()}', n), strftime('%Y-%m-%dT%H:%M:%S', n / 100, 'unixepoch') || '.000Z', '{PLAIN_TYPE}',
        '{PLAIN_TYPE}', '{ORGANISATION}', 'session-' || (n / 20), '{{"campaign":"spring"}}', 'chair-' || (n % 200),
        '{{"Fabric":"Linen","Legs":"Oak","Armrests":true,"number":' || n || '}}', 'PC / Windows 10 / Chrome 141.0.0', 1,
        'https://shop.example.com/api/analytics/events', 'https://shop.example.com',
        'https://shop.example.com/products/chair'
    FROM numbers
"""


@pytest.fixture(scope="module")
def database() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # on a disk: it may be larger than the memory
        path = Path(folder, "analytics.db")
        with filling(path) as connection:
            connection.execute(FILL, (EXPORTED,))
        yield path


@pytest.fixture(scope="module", params=[ASGI, WSGI], ids=["uvicorn", "gunicorn"])
def address(request: pytest.FixtureRequest, database: Path) -> Iterator[tuple[str, int]]:
    environment = {"SHOP_DATABASE": str(database), "PYTHONPATH": str(ROOT)}
    with serving(*request.param, folder=ROOT, environment=environment) as address:
        yield address


class Export:
    """An export under way, whose events are looked at as they come: they are too many to be kept.

    Args:
        address: of the server.
        before: how many events there were when it was asked for.
    """

    def __init__(self, address: tuple[str, int], before: int) -> None:
        self._connection = http.client.HTTPConnection(*address, timeout=60)
        self._connection.request("GET", f"{EVENTS}/export", headers=AS_SERVER)
        self._response = self._connection.getresponse()
        assert self._response.status == 200
        self._before = before
        self._rest = b""
        self.events = 0
        self.others: list[str] = []
        """Ids behind those of the made events."""

    def read(self, until: int | None = None) -> None:
        """Read on to an event, or to the end; each is the next one."""
        while until is None or self.events < until:
            piece = self._response.read(PIECE)
            *lines, self._rest = (self._rest + piece).split(b"\n")
            ids = [line[7:43] for line in lines]
            made = ids[: max(0, EXPORTED - self.events)]
            assert made == [ID % number for number in range(self.events + 1, self.events + 1 + len(made))]
            self.others += [id_.decode() for id_ in ids[len(made) :]]
            for line in lines[:1]:
                assert json.loads(line)["id"] == ids[0].decode()
            self.events += len(ids)
            if not piece:
                assert self._rest == b""
                break

    def close(self) -> None:
        self._connection.close()


def memory(address: tuple[str, int]) -> tuple[int, int]:
    """What the server takes now, and the most that it ever took; in KiB."""
    with closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
        connection.request("GET", "/")
        now, most = map(int, connection.getresponse().read().split())
    return now, most


async def create(address: tuple[str, int], number: int) -> int:
    """Create an event over a connection of its own, and give the status."""
    body = json.dumps(an_event(sessionId=f"new-{number}"))
    head = [f"POST {EVENTS} HTTP/1.1", "Host: shop.test", f"Authorization: Bearer {TOKEN}", "Connection: close"]
    reader, writer = await asyncio.open_connection(*address)
    writer.write("\r\n".join([*head, f"Content-Length: {len(body)}", "", body]).encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1])


async def create_all(address: tuple[str, int]) -> Counter[int]:
    return Counter(await asyncio.gather(*(create(address, number) for number in range(CREATES))))


@pytest.mark.skipif(sys.platform != "linux", reason="reads what memory a process takes")
@pytest.mark.timeout(1800)
def test_a_thousand_creates_while_an_export_is_under_way(address: tuple[str, int], database: Path) -> None:
    before = stored_ids(database)
    idle, _ = memory(address)
    statuses: list[Counter[int]] = []
    with closing(Export(address, len(before))) as export:
        export.read(until=1)  # it has begun
        creates = threading.Thread(target=lambda: statuses.append(asyncio.run(create_all(address))))
        creates.start()
        export.read(until=EXPORTED // 2)
        creates.join()  # all of them before the end: half of the events is more than sockets hold
        export.read()
    assert statuses == [Counter({200: CREATES})]
    assert export.events == len(before), "none of the new ones"
    assert export.others == before[EXPORTED:]
    assert len(stored_ids(database)) == len(before) + CREATES
    _, most = memory(address)
    print(f"{(most - idle) / 1024:.0f} MiB more than the {idle / 1024:.0f} before")
    assert most - idle <= MEMORY


def test_a_client_that_leaves_in_the_middle_harms_nobody(address: tuple[str, int]) -> None:
    with closing(Export(address, 0)) as export:
        export.read(until=1)
    with closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
        connection.request("GET", f"{EVENTS}?perPage=1", headers=AS_SERVER)
        assert connection.getresponse().status == 200
