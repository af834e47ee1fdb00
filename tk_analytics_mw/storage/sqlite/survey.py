"""What the SQLite file holds: from totals that are kept, so that it takes no look at each event."""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Final

from tk_analytics_mw.identifiers import first_event_id, time_of
from tk_analytics_mw.storage.sqlite import summaries
from tk_analytics_mw.storage.sqlite.breakdowns import between
from tk_analytics_mw.storage.sqlite.connections import READ_SECONDS, Connections
from tk_analytics_mw.storage.survey import Survey

_BY_TYPE: Final = """
    SELECT event_type, sum(events) FROM (
        SELECT event_type, events FROM hour_totals WHERE org_id = ? AND event_type != ''
        UNION ALL
        SELECT event_type, 1 FROM (SELECT value FROM json_each(?)) AS stretch CROSS JOIN events
        WHERE org_id = ?
            AND created_at >= json_extract(stretch.value, '$[0]') AND created_at < json_extract(stretch.value, '$[1]')
    ) GROUP BY event_type ORDER BY event_type
"""


def organisations(connections: Connections) -> list[str]:
    """See :meth:`SurveyedStorage.organisations <tk_analytics_mw.storage.survey.SurveyedStorage.organisations>`."""
    with connections.reading() as snapshot:
        return list(summaries.organisations(snapshot))


def survey(connections: Connections) -> Survey:
    """See :meth:`SurveyedStorage.survey <tk_analytics_mw.storage.survey.SurveyedStorage.survey>`."""
    yesterday = first_event_id(datetime.now(timezone.utc) - timedelta(days=1))
    with connections.reading() as snapshot:
        spans = {org_id: summaries.span(snapshot, org_id) for org_id in summaries.organisations(snapshot)}
    for org_id, days in spans.items():
        summaries.Summaries(connections).prepare(org_id, *days, seconds=READ_SECONDS, faster=summaries.COUNTS_FASTER)
    with connections.reading() as snapshot:
        events = {org_id: _by_type(snapshot, org_id) for org_id in summaries.organisations(snapshot)}
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


def _by_type(snapshot: sqlite3.Connection, org_id: str) -> dict[str, int]:
    """From the hours of summed days, and the events of the other days."""
    first, last = summaries.span(snapshot, org_id)
    summed = summaries.summed_days(snapshot, org_id, first, f"{last}U")
    stretches = json.dumps([*between(first, f"{last}U", summed)])
    rows = snapshot.execute(_BY_TYPE, (org_id, stretches, org_id))
    return dict(rows.fetchall())
