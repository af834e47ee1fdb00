"""The applications that are compared. Each server process imports this module and serves one of them.

The hand-written endpoints are what a competent developer who has read the contract writes in an afternoon: validation
by a model, the token compared in constant time, the Origin checked and told that its page may read the answer, the
device read from the User-Agent, the facts of the request kept, one connection a thread in WAL mode, one commit a
request at the same ``synchronous`` as ours. What takes longer than an afternoon is not in them: doubled keys, values
that no storage can hold, retries, errors as problems.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Annotated, Any, Literal

import flask
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.middleware.cors import CORSMiddleware
from flask import Flask, abort
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from starlette.types import Receive, Scope, Send
from user_agents import parse

from tests.bench.payload import ORIGIN, TOKEN
from tk_analytics_mw import Analytics, EventType, PublicToken
from tk_analytics_mw.storage.clickhouse import ClickHouseStorage, engine_target

DATABASE = os.environ.get("BENCH_DATABASE", "bench.db")


async def empty_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers two bytes and looks at nothing."""
    if scope["type"] == "http":
        headers = [(b"content-length", b"2"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


def empty_wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers two bytes and looks at nothing."""
    start_response("200 OK", [("Content-Length", "2"), ("Content-Type", "text/plain")])
    return [b"ok"]


def our_analytics(**options: Any) -> Analytics:
    """As the README's first lines make it."""
    return Analytics(
        storage=f"sqlite:///{DATABASE}",
        tokens=[PublicToken(TOKEN, org_id="acme", domains=["shop.example.com"])],
        **options,
    )


def our_shared_analytics() -> Analytics:
    """The same with a PostgreSQL server."""
    return Analytics(
        storage=os.environ.get("BENCH_POSTGRESQL", "memory://"),
        tokens=[PublicToken(TOKEN, org_id="acme", domains=["shop.example.com"])],
    )


def our_durable_analytics() -> Analytics:
    """The same with a durable hook for every event, which another process would call."""
    analytics = our_analytics()
    analytics.on(durable=True, name="bench")(lambda event, delivery: None)
    return analytics


def clickhouse_analytics() -> Analytics:
    """The same in ClickHouse's own engine, whose directory is this process's alone."""
    analytics = Analytics(
        storage=f"clickhouse+chdb:///{DATABASE}",
        tokens=[PublicToken(TOKEN, org_id="acme", domains=["shop.example.com"])],
    )
    if os.environ.get("BENCH_CLICKHOUSE"):
        ClickHouseStorage(engine_target(f"/{DATABASE}")).migrate()
    return analytics


ours_asgi = our_analytics().asgi(empty_asgi)
ours_clickhouse = clickhouse_analytics().asgi(empty_asgi)
ours_keeping = ours_asgi  # on a database with old events, as the next one
ours_retaining = our_analytics(retain_days=1).asgi(empty_asgi)
ours_postgresql = our_shared_analytics().asgi(empty_asgi)
ours_durable = our_durable_analytics().asgi(empty_asgi)
ours_wsgi = our_analytics().wsgi(empty_wsgi)


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


def _authorise(token: str, origin: str | None) -> bool:
    return hmac.compare_digest(token, TOKEN) and origin == ORIGIN


def _store(new: NewEvent, headers: Mapping[str, str], url: str) -> StoredEvent:
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


by_hand_asgi = FastAPI()
by_hand_asgi.add_middleware(CORSMiddleware, allow_origins=[ORIGIN], allow_credentials=True)


@by_hand_asgi.post("/api/analytics/events", response_model_exclude_none=True)
def create_with_fastapi(event: NewEvent, bearer_token: Annotated[str, Query()], request: Request) -> StoredEvent:
    """A plain function: FastAPI runs it in its worker threads, because sqlite3 blocks."""
    if not _authorise(bearer_token, request.headers.get("Origin")):
        raise HTTPException(401)
    return _store(event, request.headers, str(request.url.replace(query="")))


by_hand_wsgi = Flask(__name__)


@by_hand_wsgi.post("/api/analytics/events")
def create_with_flask() -> tuple[bytes, int, dict[str, str]]:
    """The same, in Flask."""
    if not _authorise(flask.request.args.get("bearer_token", ""), flask.request.headers.get("Origin")):
        abort(401)
    try:
        new = NewEvent.model_validate_json(flask.request.get_data())
    except ValidationError as error:
        return error.json(include_input=False).encode(), 422, {"Content-Type": "application/json"}
    event = _store(new, flask.request.headers, flask.request.base_url)
    return event.model_dump_json(by_alias=True, exclude_none=True).encode(), 200, {"Content-Type": "application/json"}


@by_hand_wsgi.after_request
def allow_origin(response: flask.Response) -> flask.Response:
    """What FastAPI's ``CORSMiddleware`` does there."""
    if flask.request.headers.get("Origin") == ORIGIN:
        response.headers["Access-Control-Allow-Origin"] = ORIGIN
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers.add("Vary", "Origin")
    return response
