"""What an SQL database holds: from totals that are kept, so that it takes no look at each event."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Final

from sqlalchemy import Connection, func, select, text

from tk_analytics_mw.identifiers import first_event_id, time_of
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.sql import spans
from tk_analytics_mw.storage.sql.connections import READ_SECONDS, Connections
from tk_analytics_mw.storage.sql.filters import conditions, shape_of, values_of
from tk_analytics_mw.storage.sql.schema import events, hour_totals
from tk_analytics_mw.storage.sql.totals import ALL_TYPES, Totals, day_of, days_summed
from tk_analytics_mw.storage.sql.views import between
from tk_analytics_mw.storage.survey import Survey

_SIZE: Final = {
    "postgresql": text(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
        "WHERE relkind = 'r' AND relname LIKE 'tk\\_analytics\\_%' AND pg_table_is_visible(oid)"
    ),
    "mysql": text(
        "SELECT sum(data_length + index_length) FROM information_schema.tables "
        "WHERE table_schema = database() AND table_name LIKE 'tk\\_analytics\\_%'"
    ),
}


def organisations(connections: Connections) -> list[str]:
    """See :meth:`SurveyedStorage.organisations <tk_analytics_mw.storage.survey.SurveyedStorage.organisations>`."""
    with connections.reading() as connection:
        return [*spans.organisations(connection)]


def survey(connections: Connections) -> Survey:
    """See :meth:`SurveyedStorage.survey <tk_analytics_mw.storage.survey.SurveyedStorage.survey>`."""
    yesterday = first_event_id(datetime.now(timezone.utc) - timedelta(days=1))
    with connections.reading() as connection:
        known = {org_id: spans.span(connection, org_id) for org_id in spans.organisations(connection)}
    for org_id, found in known.items():
        if found is not None:
            first, last = map(day_of, found)
            Totals(connections).prepare(org_id, first, last, seconds=READ_SECONDS)
    with connections.reading() as connection:
        by_type = {org_id: _by_type(connection, org_id) for org_id in spans.organisations(connection)}
        ends = [
            connection.execute(select(events.c.id).order_by(order).limit(1)).scalar()
            for order in (events.c.id.asc(), events.c.id.desc())
        ]
        last_day = connection.execute(
            select(func.count()).select_from(events).where(events.c.id >= yesterday)
        ).scalar_one()
        size = connection.execute(_SIZE["postgresql" if connections.is_postgresql else "mysql"]).scalar()
    oldest, newest = (None if each is None else time_of(each) for each in ends)
    return Survey(events=by_type, oldest=oldest, newest=newest, last_day=last_day, size=int(size or 0))


def _by_type(connection: Connection, org_id: str) -> dict[str, int]:
    """From the hours of summed days, and the events of the other days."""
    found = spans.span(connection, org_id)
    if found is None:
        return {}
    first, last = found
    end = last + timedelta(milliseconds=1)
    summed = days_summed(connection, org_id, day_of(first), day_of(end) + timedelta(days=1))
    counts: Counter[str] = Counter()
    for event_type, number in connection.execute(
        select(hour_totals.c.event_type, func.sum(hour_totals.c.events))
        .where(hour_totals.c.org_id == org_id, hour_totals.c.event_type != ALL_TYPES, hour_totals.c.day.in_(summed))
        .group_by(hour_totals.c.event_type)
    ):
        counts[event_type] += int(number)
    for since, until in between(first, end, summed):
        wanted = Filter(org_id, since=since, until=until)
        where = conditions(shape_of(connection, wanted))
        for event_type, number in connection.execute(
            select(events.c.event_type, func.count()).where(*where).group_by(events.c.event_type), values_of(wanted)
        ):
            counts[event_type] += number
    return dict(sorted(counts.items()))
