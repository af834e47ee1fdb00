"""What every host application of the suite can do: take a request, and show the rows it stored."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

from starlette.datastructures import Headers

from tk_analytics_mw import Analytics, Drop, Event, PrivateToken, PublicToken, Reject

PUBLIC = "tka-public-of-acme-7f3a"
PRIVATE = "tka-private-of-acme-91bc"
EXPIRED = "tka-expired-of-acme-00e1"
RIVAL_PUBLIC = "tka-public-of-rival-5d20"
RIVAL_PRIVATE = "tka-private-of-rival-c4f8"
TOKENS = (PUBLIC, PRIVATE, EXPIRED, RIVAL_PUBLIC, RIVAL_PRIVATE)

SHOP = "https://shop.example.com"
RIVAL_SHOP = "https://rival.example"
HOST = "shop.test"
EVENTS = "/api/analytics/events"
BATCH = "/api/analytics/events/batch"

Register = Callable[[Analytics], None]
Body = bytes | str | dict[str, Any] | list[Any] | None


def default_options() -> dict[str, Any]:
    """Two organisations, each with both kinds of token, and a shared one."""
    return {
        "tokens": [
            PublicToken(PUBLIC, org_id="acme", domains=["shop.example.com", "*.example.org", "localhost:5000"]),
            PrivateToken(PRIVATE, org_id="acme"),
            PrivateToken(EXPIRED, org_id="acme", expires_at=datetime(2020, 1, 1, tzinfo=timezone.utc)),
            PublicToken(RIVAL_PUBLIC, org_id="rival", domains=["rival.example"]),
            PrivateToken(RIVAL_PRIVATE, org_id="rival"),
        ],
        "public_orgs": {"showroom"},
    }


def an_event(**changes: Any) -> dict[str, Any]:
    """The smallest valid body, with ``changes``."""
    return {"eventType": "product cart-add", "orgId": "acme", "sessionId": "session-1", **changes}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """``body``, some fields left out."""
    return {name: value for name, value in body.items() if name not in names}


def choose_by_session(event: Event) -> None:
    """Drop or reject what its session says: for ``before_store``."""
    if event.session_id.startswith("drop"):
        raise Drop("test")
    if event.session_id.startswith("reject"):
        raise Reject("test")


@dataclass(frozen=True)
class Reply:
    """An answer as the client sees it."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def locs(self) -> list[list[str | int]]:
        """Where a 422 answer sees what is wrong."""
        return [error["loc"] for error in self.json["errors"]]


class Host(ABC):
    """A shop's application with the API in it. Whatever is not ours it answers with ``host: METHOD /path``.

    Args:
        database: path of this host's SQLite file.
        options: of ``Analytics``.
        register: registers hooks.
    """

    face: ClassVar[str]
    server: ClassVar[str | None] = None
    """The fixture of the database server that it has its events in."""

    def __init__(self, database: Path, options: Mapping[str, Any], register: Register) -> None:
        self.database = database
        self.analytics = self.build({"storage": f"sqlite:///{database}", **options}, register)

    @abstractmethod
    def build(self, options: dict[str, Any], register: Register) -> Analytics:
        """Make the application and keep it."""

    @abstractmethod
    def send(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        """Send a request through the application's own door."""

    def close(self) -> None:
        """Let go of the database, and of what the framework keeps for the whole process."""
        self.analytics.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: Body = None,
    ) -> Reply:
        """Send a request. A body that is a dict or a list goes as JSON."""
        sent = {"Host": HOST, "User-Agent": "", **(headers or {})}
        if isinstance(body, (dict, list)):
            sent.setdefault("Content-Type", "application/json")
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        return self.send(method, path, query, sent, body or b"")

    def from_page(
        self,
        body: Body,
        *,
        token: str = PUBLIC,
        origin: str | None = SHOP,
        path: str = EVENTS,
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Create as a page of the shop does: public token in the query, ``Origin`` from the browser."""
        sent = {**({} if origin is None else {"Origin": origin}), **(headers or {})}
        query = f"bearer_token={token}" + (f"&{query}" if query else "")
        return self.request("POST", path, query=query, headers=sent, body=body)

    def from_server(
        self,
        body: Body,
        *,
        token: str = PRIVATE,
        path: str = EVENTS,
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Create as a back office does: private token in ``Authorization``."""
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        return self.request("POST", path, query=query, headers=sent, body=body)

    def rows(self) -> list[dict[str, Any]]:
        """What is on disk, oldest first, read over a connection of its own."""
        return stored_events(self.database)


def stored_events(database: Path) -> list[dict[str, Any]]:
    """The events of a file, oldest first, read over a connection of its own."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM events ORDER BY position")]
