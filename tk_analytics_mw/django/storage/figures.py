"""Figures, from the events themselves: the database groups and counts them."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from django.db.models import Count, F, Func, Max, Min, Sum, TextField
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Cast, TruncHour, TruncMinute

from tk_analytics_mw.django.storage.connections import Connections
from tk_analytics_mw.django.storage.filters import wanted_events
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.choices import TYPES, Choices, Step, canonical
from tk_analytics_mw.storage.figures import Attribute, Breakdown, Dimension, Reached
from tk_analytics_mw.storage.funnels import Funnel
from tk_analytics_mw.storage.tallies import Tallies

_OBJECTS: Final = ("event_metadata", "configuration")


class DjangoFigures:
    """See :class:`~tk_analytics_mw.storage.figures.Figures`.

    Args:
        connections: of the storage.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def span(self, org_id: str) -> tuple[datetime, datetime] | None:
        """See :meth:`Figures.span <tk_analytics_mw.storage.figures.Figures.span>`."""
        with self._connections.reading() as using:
            events = wanted_events(using, Filter(org_id))
            # Each for itself: together they would go through all events.
            first = events.aggregate(at=Min("created_at"))["at"]
            last = events.aggregate(at=Max("created_at"))["at"]
        return None if first is None else (first, last)

    def views(self, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
        """See :meth:`Figures.views <tk_analytics_mw.storage.figures.Figures.views>`."""
        counts = [0] * (len(edges) - 1)
        timely = replace(wanted, since=edges[0], until=edges[-1])
        with self._connections.reading() as using:
            found = wanted_events(using, timely).order_by().values(part=_part_of(edges)).annotate(events=Count("pk"))
            for part, events in found.values_list("part", "events").iterator():
                counts[max(bisect_right(edges, _moment(part)) - 1, 0)] += events
        return counts

    def breakdown(self, wanted: Filter, by: Dimension, *, top: int) -> Breakdown:
        """See :meth:`Figures.breakdown <tk_analytics_mw.storage.figures.Figures.breakdown>`."""
        in_object = by.column in _OBJECTS
        tallies = Tallies()
        with self._connections.reading() as using:
            grouped = (
                wanted_events(using, wanted)
                .order_by()
                .values("session_id", "user_id", value=_Value(by.column, by.key or "") if in_object else F(by.column))
                .annotate(events=Count("pk"), sum=Sum("metric"))
            )
            names = ("value", "session_id", "user_id", "events", "sum")
            for value, *row in grouped.values_list(*names).iterator(chunk_size=2000):
                tallies.add(_key_of(value) if in_object else value, *row)
        return tallies.result(top, _value_of if in_object else _itself)

    def funnel(self, wanted: Filter, steps: Sequence[str], within: timedelta | None) -> list[Reached]:
        """See :meth:`Figures.funnel <tk_analytics_mw.storage.figures.Figures.funnel>`."""
        funnel = Funnel(steps, within)
        with self._sessions(wanted, sorted({*steps}), "event_type", "created_at") as sessions:
            for events in sessions:
                funnel.add([(event_type, moment) for _, event_type, moment in events])
        return funnel.result()

    def attributes(self, wanted: Filter) -> list[Attribute]:
        """See :meth:`Figures.attributes <tk_analytics_mw.storage.figures.Figures.attributes>`."""
        choices = Choices()
        columns = ("event_type", "asset_id", Cast("configuration", TextField()))
        with self._sessions(wanted, TYPES, *columns) as sessions:
            for events in sessions:
                choices.add([Step(*event) for _, *event in events])
        return choices.result()

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """See :meth:`Figures.rebuild <tk_analytics_mw.storage.figures.Figures.rebuild>`. Nothing is kept counted."""

    @contextmanager
    def _sessions(self, wanted: Filter, types: Sequence[str], *columns: Any) -> Iterator[Iterator[list[Any]]]:
        """The events of these types, session by session, each session's in the order of time."""
        with self._connections.reading() as using:
            events = wanted_events(using, wanted).filter(event_type__in=types)
            rows = events.order_by("session_id", "created_at", "position").values_list("session_id", *columns)
            yield (list(each) for _, each in groupby(rows.iterator(chunk_size=5000), itemgetter(0)))


def _part_of(edges: Sequence[datetime]) -> Any:
    """The hour of an event, or its minute, or its moment: the coarsest in which no edge lies, but the outer ones."""
    inner = edges[1:-1]
    if not any((edge.minute, edge.second, edge.microsecond) != (0, 0, 0) for edge in inner):
        return _Start(TruncHour("created_at", tzinfo=timezone.utc), 13)
    if not any((edge.second, edge.microsecond) != (0, 0) for edge in inner):
        return _Start(TruncMinute("created_at", tzinfo=timezone.utc), 16)
    return F("created_at")


class _Start(Func):
    """The beginning of an hour or a minute. For SQLite Django would call Python for each event."""

    def __init__(self, truncated: Any, characters: int) -> None:
        super().__init__(truncated, output_field=TextField())
        self._characters = characters

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, Any]:
        """A part of the text that stands there."""
        if connection.timezone_name != "UTC":
            return self.as_sql(compiler, connection)
        column, values = compiler.compile(self.source_expressions[0].lhs)
        return f"substr({column}, 1, {self._characters})", values

    def as_sql(self, compiler: Any, _connection: Any, **_: Any) -> tuple[str, Any]:
        """As Django does it."""
        return compiler.compile(self.source_expressions[0])  # type: ignore[no-any-return]


def _moment(part: Any) -> datetime:
    if isinstance(part, datetime):
        return part if part.tzinfo is not None else part.replace(tzinfo=timezone.utc)
    text: str = part[:16] if ":" in part else f"{part}:00"
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


class _Value(Func):
    """What stands under a key of an object: on SQLite numbers as they are, else JSON; ``None`` for nothing and null."""

    output_field = TextField()

    def __init__(self, column: str, key: str) -> None:
        super().__init__(F(column))
        self._key = key

    def as_sqlite(self, compiler: Any, _connection: Any, **_: Any) -> tuple[str, list[Any]]:
        """By key: a path cannot name every one."""
        column, values = compiler.compile(self.source_expressions[0])
        sql = (
            "(SELECT CASE type WHEN 'text' THEN json_quote(value) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' "  # noqa: S608
            f"ELSE value END FROM json_each({column}) WHERE key = %s)"
        )
        return sql, [*values, self._key]

    def as_postgresql(self, compiler: Any, _connection: Any, **_: Any) -> tuple[str, list[Any]]:
        """A key, and never the place in a list."""
        column, values = compiler.compile(self.source_expressions[0])
        return f"({column} -> %s::text)::text", [*values, self._key]

    def as_mysql(self, compiler: Any, _connection: Any, **_: Any) -> tuple[str, list[Any]]:
        """By a path, whose names are written as in JSON."""
        column, values = compiler.compile(self.source_expressions[0])
        return f"CAST(JSON_EXTRACT({column}, %s) AS CHAR)", [*values, f"$.{json.dumps(self._key, ensure_ascii=False)}"]

    def as_sql(self, compiler: Any, _connection: Any, **_: Any) -> tuple[str, Any]:
        """As Django does it."""
        return compiler.compile(Cast(KeyTransform(self._key, self.source_expressions[0]), TextField()))  # type: ignore[no-any-return]


def _key_of(value: Any) -> Any:
    """What equal values have in common: a number, or a text of JSON."""
    if isinstance(value, str):
        value = json.loads(value)
        if value is None:
            return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return None if value is None else canonical(value)


def _value_of(key: Any) -> Any:
    return json.loads(key) if isinstance(key, str) else key


def _itself(key: Any) -> Any:
    return key
