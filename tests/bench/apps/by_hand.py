"""The hand-written endpoints: what a competent developer who has read the contract writes in an afternoon.

Validation by a model, the token compared in constant time, the Origin checked and told that its page may read the
answer, the device read from the User-Agent, the facts of the request kept, one connection a thread in WAL mode, one
commit a request at the same ``synchronous`` as ours. What takes longer than an afternoon is not in them: doubled keys,
values that no storage can hold, retries, errors as problems.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel
from user_agents import parse

from tests.bench.payload import ORIGIN, TOKEN
from tk_analytics_mw import EventType

DATABASE = os.environ["BENCH_STORAGE"].removeprefix("sqlite:///")


class NewEvent(BaseModel):
    """The hand-written endpoints' body."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    event_type: Literal[tuple(type_.value for type_ in EventType)]  # type: ignore[valid-type]
    org_id: Annotated[str, Field(min_length=1, max_length=200)]
    session_id: Annotated[str, Field(min_length=1, max_length=200)]
    event_metadata: dict[str, Any] | None = None
    asset_id: str | None = None
    user_id: str | None = None
    config_id: str | None = None
    configuration: dict[str, Any] | None = None
    device: str | None = None
    metric: float = 1.0


class StoredEvent(NewEvent):
    """The hand-written endpoints' answer."""

    id: str
    created_at: datetime
    request_url: str
    request_origin: str
    referer: str


_local = threading.local()
_configuration: TypeAdapter[dict[str, Any] | None] = TypeAdapter(dict[str, Any] | None)


def _connection() -> sqlite3.Connection:
    connection: sqlite3.Connection | None = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = sqlite3.connect(DATABASE, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, created_at TEXT, event_type TEXT, org_id TEXT, "
            "session_id TEXT, event_metadata TEXT, asset_id TEXT, user_id TEXT, config_id TEXT, configuration TEXT, "
            "device TEXT, metric REAL, request_url TEXT, request_origin TEXT, referer TEXT)"
        )
    return connection


@lru_cache(maxsize=1000)
def _device(user_agent: str) -> str:
    return str(parse(user_agent))


def authorise(token: str, origin: str | None) -> bool:
    return hmac.compare_digest(token, TOKEN) and origin == ORIGIN


def store(new: NewEvent, headers: Mapping[str, str], url: str) -> StoredEvent:
    event = StoredEvent(
        **new.model_dump(exclude={"device"}),
        device=new.device or _device(headers.get("User-Agent", "")),
        id=str(uuid.uuid4()),
        created_at=datetime.now(timezone.utc),
        request_url=url,
        request_origin=headers["Origin"],
        referer=headers.get("Referer", "").partition("?")[0],
    )
    values = event.model_dump(mode="json")
    for name in ("event_metadata", "configuration"):
        values[name] = _configuration.dump_json(values[name]).decode()
    connection = _connection()
    with connection:
        connection.execute(
            "INSERT INTO events VALUES (:id, :created_at, :event_type, :org_id, :session_id, :event_metadata, "
            ":asset_id, :user_id, :config_id, :configuration, :device, :metric, :request_url, :request_origin, "
            ":referer)",
            values,
        )
    return event
