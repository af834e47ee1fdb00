"""What ClickHouse holds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final

from tk_analytics_mw.storage.clickhouse.conditions import MOMENT, milliseconds
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS, LOCAL
from tk_analytics_mw.storage.clickhouse.sessions import moment_at
from tk_analytics_mw.storage.survey import Survey

_BY_TYPE: Final = f"""
    SELECT org_id, event_type, count(), countIf(created_at >= {MOMENT.format(name="yesterday")}),
        toUnixTimestamp64Milli(min(created_at)), toUnixTimestamp64Milli(max(created_at))
    FROM {EVENTS} FINAL GROUP BY org_id, event_type ORDER BY org_id, event_type
"""  # noqa: S608
_SIZE: Final = """
    SELECT sum(bytes_on_disk) FROM {parts} WHERE database = currentDatabase() AND table IN ({tables})
"""


def organisations(connections: Connections) -> list[str]:
    """See :meth:`SurveyedStorage.organisations <tk_analytics_mw.storage.survey.SurveyedStorage.organisations>`."""
    rows = connections.rows(f"SELECT DISTINCT org_id FROM {EVENTS} ORDER BY org_id", {})  # noqa: S608
    return [org_id for (org_id,) in rows]


def survey(connections: Connections) -> Survey:
    """See :meth:`SurveyedStorage.survey <tk_analytics_mw.storage.survey.SurveyedStorage.survey>`."""
    yesterday = milliseconds(datetime.now(timezone.utc) - timedelta(days=1))
    rows = connections.rows(_BY_TYPE, {"yesterday": yesterday})
    events: dict[str, dict[str, int]] = {}
    for org_id, event_type, number, *_ in rows:
        events.setdefault(org_id, {})[event_type] = number
    cluster = connections.target.cluster
    parts = "system.parts" if cluster is None else f"clusterAllReplicas('{cluster}', system.parts)"
    [(size,)] = connections.rows(_SIZE.format(parts=parts, tables=f"'{EVENTS}', '{LOCAL}'"), {})
    return Survey(
        events=events,
        oldest=moment_at(min(row[4] for row in rows)) if rows else None,
        newest=moment_at(max(row[5] for row in rows)) if rows else None,
        last_day=sum(row[3] for row in rows),
        size=size,
    )
