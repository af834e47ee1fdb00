"""From a filter to a QuerySet."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import BooleanField, F, Func, QuerySet
from django.db.models.fields.json import KeyTransform, KeyTransformExact

from tk_analytics_mw.django.storage.encoding import Encoder
from tk_analytics_mw.django.storage.models import Event
from tk_analytics_mw.django.storage.records import id_of
from tk_analytics_mw.queries import Filter, Order, Place, Scalar
from tk_analytics_mw.storage.rows import moment_of

BY_TIME: Final[dict[Order, tuple[str, str]]] = {
    "newest": ("-created_at", "-position"),
    "oldest": ("created_at", "position"),
}


def wanted_events(using: str, wanted: Filter) -> QuerySet[Event]:
    """The events of ``wanted``, and no others, that have a position."""
    events = Event.objects.using(using).filter(org_id=wanted.org_id, position__isnull=False)
    equals = dict(wanted.equals)
    if "id" in equals:
        equals["id"] = id_of(str(equals["id"]))  # type: ignore[assignment]
        if equals["id"] is None:
            return events.none()
    events = events.filter(**equals)
    if wanted.since is not None:
        events = events.filter(created_at__gte=wanted.since)
    if wanted.until is not None:
        events = events.filter(created_at__lt=wanted.until)
    for key, value in wanted.metadata.items():
        events = events.filter(_HasValue(key, value))
    return events


def behind(events: QuerySet[Event], order: Order, place: Place) -> QuerySet[Event]:
    """Those that come after a place."""
    moment = moment_of(place.created_at)
    earlier = "lt" if order == "newest" else "gt"
    same = events.filter(**{f"created_at__{earlier}e": moment})  # for the index
    return same.exclude(**{"created_at": moment, f"position__{_OTHER[earlier]}e": place.position})


_OTHER: Final = {"lt": "gt", "gt": "lt"}


class _HasValue(Func):
    """Whether the metadata of an event has this value under this key. ``1`` is ``1.0``, and not ``True``.

    Django's own lookups take a key such as ``"1"`` for the place in a list.
    """

    output_field = BooleanField()
    conditional = True

    def __init__(self, key: str, value: Scalar) -> None:
        super().__init__(F("event_metadata"))
        self._key = key
        self._value = value

    def as_sqlite(self, compiler: Any, _connection: Any, **_: Any) -> tuple[str, list[Any]]:
        """By key and type: a path cannot name every key."""
        column, values = compiler.compile(self.source_expressions[0])
        sql = (
            f"EXISTS (SELECT 1 FROM json_each({column}) WHERE key = %s AND type IN {_types(self._value)} "  # noqa: S608
            "AND value IS %s)"
        )
        return sql, [*values, self._key, self._value]

    def as_postgresql(self, compiler: Any, _connection: Any, **_: Any) -> tuple[str, list[Any]]:
        """By containment, which takes 1.0 for 1."""
        column, values = compiler.compile(self.source_expressions[0])
        return f"{column} @> %s::jsonb", [*values, Encoder().encode({self._key: self._value})]

    def as_mysql(self, compiler: Any, _connection: Any, **_: Any) -> tuple[str, list[Any]]:
        """By containment. A list contains what one of its elements is, and the empty list, which a scalar does not."""
        column, values = compiler.compile(self.source_expressions[0])
        asked, empty = Encoder().encode({self._key: self._value}), Encoder().encode({self._key: []})
        return f"(JSON_CONTAINS({column}, %s) AND NOT JSON_CONTAINS({column}, %s))", [*values, asked, *values, empty]

    def as_sql(self, compiler: Any, _connection: Any, **_: Any) -> tuple[str, list[Any]]:
        """By Django's own lookup."""
        lookup = KeyTransformExact(KeyTransform(self._key, self.source_expressions[0]), self._value)
        return compiler.compile(lookup)  # type: ignore[no-any-return]


def _types(value: Scalar) -> str:
    if value is None:
        return "('null')"
    if isinstance(value, bool):  # before int, which it is as well
        return "('true', 'false')"
    return "('text')" if isinstance(value, str) else "('integer', 'real')"
