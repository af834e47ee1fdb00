"""An event as a row of Django's, and back, by way of :mod:`tk_analytics_mw.storage.rows`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from tk_analytics_mw import events
from tk_analytics_mw.django.storage.models import Event
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.storage.rows import COLUMNS, event_of

_OTHERS: Final = tuple(name for name in COLUMNS if name != "id")
# As text: nobody reads an object only to write it down again.
_VALUES: Final = tuple(
    Cast(name, TextField()) if name in ("event_metadata", "configuration") else name for name in COLUMNS
)
_CREATED_AT: Final = COLUMNS.index("created_at")


def record_of(event: events.Event, position: int | None) -> Event:
    """The row of an event.

    Raises:
        ValueError: its id is no UUID.
    """
    values = vars(event)
    return Event(id=UUID(event.id), position=position, **{name: values[name] for name in _OTHERS})


def rows_of(found: QuerySet[Event], *more: str) -> Iterator[list[Any]]:
    """The values of :data:`COLUMNS`, as any storage has them, and of further fields."""
    for row in found.values_list(*_VALUES, *more).iterator(chunk_size=2000):
        values = [*row]
        values[0] = str(row[0])
        values[_CREATED_AT] = text_of(row[_CREATED_AT])
        yield values


def events_of(found: QuerySet[Event]) -> list[events.Event]:
    """The events."""
    return [event_of(row) for row in rows_of(found)]


def text_of(moment: datetime) -> str:
    """A moment as a row has it."""
    return timestamp(moment.astimezone(timezone.utc))


def id_of(text: str) -> UUID | None:
    """The primary key that this is the text of, if it is any."""
    try:
        id_ = UUID(text)
    except ValueError:
        return None
    return id_ if str(id_) == text else None
