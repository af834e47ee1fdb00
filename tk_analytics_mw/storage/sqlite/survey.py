"""What the SQLite file holds: from summaries of days, so that it takes no look at each event once they are there."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Final

from tk_analytics_mw.identifiers import first_event_id, time_of
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.figures import Dimension, Figures
from tk_analytics_mw.storage.sqlite import summaries
from tk_analytics_mw.storage.sqlite.connections import Connections
from tk_analytics_mw.storage.survey import Survey

TYPES: Final = 1_000
"""Event types that are told of one by one."""


def organisations(connections: Connections) -> list[str]:
    """See :meth:`SurveyedStorage.organisations <tk_analytics_mw.storage.survey.SurveyedStorage.organisations>`."""
    with connections.reading() as snapshot:
        return list(summaries.organisations(snapshot))


def survey(connections: Connections, figures: Figures) -> Survey:
    """See :meth:`SurveyedStorage.survey <tk_analytics_mw.storage.survey.SurveyedStorage.survey>`."""
    by_type = Dimension("event_type")
    events = {
        org_id: {
            group.value: group.amounts.events for group in figures.breakdown(Filter(org_id), by_type, top=TYPES).groups
        }
        for org_id in organisations(connections)
    }
    yesterday = first_event_id(datetime.now(timezone.utc) - timedelta(days=1))
    with connections.reading() as snapshot:
        oldest, newest = snapshot.execute(
            "SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events)"
        ).fetchone()
        [last_day] = snapshot.execute("SELECT count(*) FROM events WHERE id >= ?", (yesterday,)).fetchone()
    size = 0
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            size += connections.path.with_name(connections.path.name + suffix).stat().st_size
    return Survey(
        events=events,
        oldest=None if oldest is None else time_of(oldest),
        newest=None if newest is None else time_of(newest),
        last_day=last_day,
        size=size,
    )
