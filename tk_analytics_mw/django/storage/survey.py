"""What the tables hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from django.db import connections as django_connections
from django.db.models import Count, Max, Min

from tk_analytics_mw.django.storage.connections import Connections
from tk_analytics_mw.django.storage.engines import engine_of
from tk_analytics_mw.django.storage.models import Event
from tk_analytics_mw.storage.survey import Survey


def organisations(connections: Connections) -> list[str]:
    """See :meth:`SurveyedStorage.organisations <tk_analytics_mw.storage.survey.SurveyedStorage.organisations>`."""
    with connections.reading() as using:
        return [*organisations_in(Event.objects.using(using))]


def organisations_in(events: Any) -> Iterator[str]:
    """Those that have events: from one to the next through an index, not through the events."""
    org_id: str | None = ""
    while True:
        org_id = events.filter(org_id__gt=org_id).aggregate(found=Min("org_id"))["found"]
        if org_id is None:
            return
        yield org_id


def survey(connections: Connections) -> Survey:
    """See :meth:`SurveyedStorage.survey <tk_analytics_mw.storage.survey.SurveyedStorage.survey>`."""
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    with connections.reading() as using:
        events = Event.objects.using(using).filter(position__isnull=False)
        counted: dict[str, dict[str, int]] = {}
        for org_id, event_type, number in (
            events.order_by("org_id", "event_type").values_list("org_id", "event_type").annotate(Count("pk"))
        ):
            counted.setdefault(org_id, {})[event_type] = number
        times = events.aggregate(oldest=Min("created_at"), newest=Max("created_at"))
        last_day = events.filter(created_at__gte=yesterday).count()
        connection = django_connections[using]
        size = engine_of(connection).size(connection)
    return Survey(events=counted, **times, last_day=last_day, size=size)
