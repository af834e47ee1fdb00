"""Events for tests."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Final

from tk_analytics_mw.events import Event, build_event
from tk_analytics_mw.identifiers import first_event_id

MOMENT: Final = datetime(2026, 11, 23, 12, 0, 0, 1000, tzinfo=timezone.utc)
"""When the events of tests are created, unless they say otherwise."""


def an_event(id_: int | str = 1, **fields: Any) -> Event:
    """Make a stored event, an order of ``acme``.

    Args:
        id_: a number, for the UUIDv7 of this number at the event's moment; or the id itself.
        fields: of :class:`~tk_analytics_mw.Event`, where it is to be another one.
    """
    created_at = fields.pop("created_at", MOMENT)
    values: dict[str, Any] = {
        "id": event_id(id_, created_at) if isinstance(id_, int) else id_,
        "created_at": created_at,
        "event_type": "product ordered",
        "org_id": "acme",
        "session_id": "s-1",
        **fields,
    }
    return build_event({"spelling": values["event_type"], **values})


def event_id(number: int, moment: datetime = MOMENT) -> str:
    """The id of the event that has this number among those of its moment."""
    return f"{first_event_id(moment)[:-12]}{number:012x}"


def number_of(id_: str) -> int:
    """The number of an event in :func:`event_id`."""
    return int(id_[-12:], 16)
