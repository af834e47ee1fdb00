"""The hand-written endpoint in Flask."""

from __future__ import annotations

import flask
from flask import Flask, abort
from pydantic import ValidationError

from tests.bench.apps.by_hand import NewEvent, authorise, store
from tests.bench.payload import ORIGIN

by_hand_wsgi = Flask(__name__)


@by_hand_wsgi.post("/api/analytics/events")
def create_with_flask() -> tuple[bytes, int, dict[str, str]]:
    """The same, in Flask."""
    if not authorise(flask.request.args.get("bearer_token", ""), flask.request.headers.get("Origin")):
        abort(401)
    try:
        new = NewEvent.model_validate_json(flask.request.get_data())
    except ValidationError as error:
        return error.json(include_input=False).encode(), 422, {"Content-Type": "application/json"}
    event = store(new, flask.request.headers, flask.request.base_url)
    return event.model_dump_json(by_alias=True, exclude_none=True).encode(), 200, {"Content-Type": "application/json"}


@by_hand_wsgi.after_request
def allow_origin(response: flask.Response) -> flask.Response:
    """What FastAPI's ``CORSMiddleware`` does there."""
    if flask.request.headers.get("Origin") == ORIGIN:
        response.headers["Access-Control-Allow-Origin"] = ORIGIN
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers.add("Vary", "Origin")
    return response
