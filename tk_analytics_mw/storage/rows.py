"""How an event stands in a row: names and order of the columns, and the way there and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from tk_analytics_mw.events import Event
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.json_values import dump

COLUMNS: Final = (
    "id",
    "created_at",
    "event_type",
    "spelling",
    "org_id",
    "session_id",
    "event_metadata",
    "asset_id",
    "user_id",
    "config_id",
    "configuration",
    "device",
    "device_type",
    "device_family",
    "system",
    "browser",
    "user_agent",
    "metric",
    "request_url",
    "request_origin",
    "referer",
    "idempotency_key",
)


def row_of(event: Event) -> tuple[Any, ...]:
    """The values of :data:`COLUMNS`: texts, numbers and ``None``; objects as JSON."""
    # Written out: a loop over the names takes three times as long.
    return (
        event.id,
        timestamp(event.created_at),
        event.event_type,
        event.spelling,
        event.org_id,
        event.session_id,
        None if event.event_metadata is None else dump(event.event_metadata).decode(),
        event.asset_id,
        event.user_id,
        event.config_id,
        None if event.configuration is None else dump(event.configuration).decode(),
        event.device,
        event.device_type,
        event.device_family,
        event.system,
        event.browser,
        event.user_agent,
        event.metric,
        event.request_url,
        event.request_origin,
        event.referer,
        event.idempotency_key,
    )


def event_of(row: Sequence[Any]) -> Event:
    """The event of a row, its values in the order of :data:`COLUMNS`."""
    values = dict(zip(COLUMNS, row, strict=True))
    for name in ("event_metadata", "configuration"):
        if values[name] is not None:
            values[name] = json.loads(values[name])
    values["created_at"] = datetime.fromisoformat(values["created_at"].replace("Z", "+00:00"))
    return Event.model_validate(values, by_name=True, by_alias=False)
