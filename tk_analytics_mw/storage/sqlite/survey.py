"""What the SQLite file holds: from totals that are kept, so that it takes no look at each event."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timedelta, timezone

from tk_analytics_mw.identifiers import first_event_id, time_of
from tk_analytics_mw.storage.sqlite import summaries
from tk_analytics_mw.storage.sqlite.connections import Connections
from tk_analytics_mw.storage.survey import Survey


def organisations(connections: Connections) -> list[str]:
    """See :meth:`SurveyedStorage.organisations <tk_analytics_mw.storage.survey.SurveyedStorage.organisations>`."""
    with connections.reading() as snapshot:
        return list(summaries.organisations(snapshot))


def survey(connections: Connections) -> Survey:
    """See :meth:`SurveyedStorage.survey <tk_analytics_mw.storage.survey.SurveyedStorage.survey>`."""
    events: defaultdict[str, dict[str, int]] = defaultdict(dict)
    yesterday = first_event_id(datetime.now(timezone.utc) - timedelta(days=1))
    with connections.reading() as snapshot:
        for org_id, event_type, number in snapshot.execute(
            "SELECT org_id, event_type, sum(events) FROM hour_totals WHERE event_type != '' GROUP BY 1, 2 ORDER BY 1, 2"
        ):
            events[org_id][event_type] = number
        oldest, newest = snapshot.execute(
            "SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events)"
        ).fetchone()
        [last_day] = snapshot.execute("SELECT count(*) FROM events WHERE id >= ?", (yesterday,)).fetchone()
    size = 0
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            size += connections.path.with_name(connections.path.name + suffix).stat().st_size
    return Survey(
        events=dict(events),
        oldest=None if oldest is None else time_of(oldest),
        newest=None if newest is None else time_of(newest),
        last_day=last_day,
        size=size,
    )
