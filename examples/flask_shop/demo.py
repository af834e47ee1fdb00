"""Play one shopper's session against the shop in ``app.py``, on a real server, and print everything.

``make demo`` runs it. The server is gunicorn in a process of its own; the database is a temporary file.
"""

from __future__ import annotations

import json
import os
import queue
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from app import PRIVATE_TOKEN, PUBLIC_TOKEN

HERE = Path(__file__).parent
EVENTS = "/api/analytics/events"
SHOPPER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
FROM_PAGE = {"Origin": "https://shop.example.com", "User-Agent": SHOPPER}
FROM_BACK_OFFICE = {"Authorization": f"Bearer {PRIVATE_TOKEN}", "User-Agent": "back-office/1.0"}
TIMEOUT = 20.0  # seconds


class Shop:
    """The running shop: sends requests, and collects what its hooks print."""

    def __init__(self, address: str, printed: queue.Queue[str]) -> None:
        self.address = address
        self._printed = printed
        self.stored: list[str] = []
        self.surprises = 0

    def post(self, title: str, body: dict[str, Any], headers: dict[str, str], *, status: int, token: str = "") -> None:
        """Send one event; print the request, the answer, and what the hooks did. ``status`` is what it should get."""
        path = f"{EVENTS}?bearer_token={token}" if token else EVENTS
        print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}")
        print(f"  POST {path}")
        for name, value in headers.items():
            print(f"  {name}: {value}")
        print(f"  {json.dumps(body)}")

        connection = HTTPConnection(self.address, timeout=TIMEOUT)
        with closing(connection):
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        print(f"  -> {response.status} {response.reason}")
        print(f"     {json.dumps(answer)}")
        if response.status != status:
            self.surprises += 1
            print(f"     EXPECTED {status}")
        if response.status == 200:
            self.stored.append(answer["id"])
            for line in self._hooks_of(answer["id"]):
                print(f"     hook {line}")
        else:
            print("     no hook is called, nothing is stored")

    def _hooks_of(self, event_id: str) -> Iterator[str]:
        # The journal is the last hook to be registered, and so the last to run.
        for line in iter(lambda: self._printed.get(timeout=TIMEOUT), ""):
            yield line
            if event_id in line:
                return


@contextmanager
def running_shop(database: Path) -> Iterator[Shop]:
    """Start the shop on a free port, and stop it in the end."""
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--chdir",
        str(HERE),
        "--bind",
        "127.0.0.1:0",
        "--threads",
        "4",
        "app:app",
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TK_ANALYTICS_STORAGE": f"sqlite:///{database}"}
    printed: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        try:
            log = ""
            while (listening := re.search(r"Listening at: http://(\S+)", log)) is None:
                line = server.stderr.readline()
                if not line:
                    raise SystemExit(f"the shop did not start:\n{log}")
                log += line
            for stream, put in ((server.stdout, printed.put), (server.stderr, lambda _: None)):
                threading.Thread(target=_drain, args=(stream, put), daemon=True).start()
            yield Shop(listening[1], printed)
        finally:
            server.terminate()
            server.wait(TIMEOUT)


def _drain(stream: Any, put: Any) -> None:
    for line in stream:
        put(line.rstrip())


def play(shop: Shop) -> None:
    """One shopper, from the first look to the order, and two who may not."""
    event = {"orgId": "acme", "sessionId": "demo-session", "assetId": "lounge-chair"}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("A shopper opens the product page", {"eventType": "product session start"}),
        ("and begins to configure", {"eventType": "product configuration start"}),
    ]
    chosen: dict[str, str] = {}
    for title, name, value in (("chooses the wood", "wood", "walnut"), ("and the cover", "cover", "wool")):
        chosen[name] = value
        steps.append(
            (
                title,
                {
                    "eventType": "product configuration attribute set",
                    "configuration": dict(chosen),
                    "eventMetadata": {"name": name, "value": value},
                },
            )
        )
    steps.append(("puts two into the cart", {"eventType": "product cart-add", "configuration": chosen, "metric": 2}))
    for title, fields in steps:
        shop.post(title, {**event, **fields}, FROM_PAGE, token=PUBLIC_TOKEN, status=200)

    ordered = {**event, "eventType": "product ordered", "metric": 699, "eventMetadata": {"order": 4711}}
    shop.post("The back office records the order", ordered, FROM_BACK_OFFICE, status=200)

    cart_add = {**event, "eventType": "product cart-add"}
    elsewhere = {**FROM_PAGE, "Origin": "https://elsewhere.example"}
    shop.post("Another site tries the shop's public token", cart_add, elsewhere, token=PUBLIC_TOKEN, status=401)
    mistyped = {**event, "eventType": "product cart-ad"}
    shop.post("A page with a typing error", mistyped, FROM_PAGE, token=PUBLIC_TOKEN, status=422)


def print_rows(database: Path) -> list[str]:
    """Print the rows as they stand in the file; return their ids."""
    with closing(sqlite3.connect(database)) as connection:
        cursor = connection.execute("SELECT * FROM events ORDER BY id")
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
    print(f"\n{len(rows)} rows in the table events of the SQLite file (columns that are NULL left out):")
    for row in rows:
        print("\n  " + "\n  ".join(f"{name:<15} {value}" for name, value in row.items() if value not in (None, "")))
    return [row["id"] for row in rows]


def main() -> int:
    """Play, and say whether everything went as it should."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "analytics.db")
        with running_shop(database) as shop:
            print(f"The shop runs at http://{shop.address}, with gunicorn.")
            play(shop)
        ids = print_rows(database)
    print("\nTo keep the shop open in a browser: make serve")
    return 0 if not shop.surprises and ids == shop.stored else 1


if __name__ == "__main__":
    sys.exit(main())
