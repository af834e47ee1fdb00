"""The hand-written endpoint in FastAPI."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.middleware.cors import CORSMiddleware

from tests.bench.apps.by_hand import NewEvent, StoredEvent, authorise, store
from tests.bench.payload import ORIGIN

by_hand_asgi = FastAPI()
by_hand_asgi.add_middleware(CORSMiddleware, allow_origins=[ORIGIN], allow_credentials=True)


@by_hand_asgi.post("/api/analytics/events", response_model_exclude_none=True)
def create_with_fastapi(event: NewEvent, bearer_token: Annotated[str, Query()], request: Request) -> StoredEvent:
    """A plain function: FastAPI runs it in its worker threads, because sqlite3 blocks."""
    if not authorise(bearer_token, request.headers.get("Origin")):
        raise HTTPException(401)
    return store(event, request.headers, str(request.url.replace(query="")))
