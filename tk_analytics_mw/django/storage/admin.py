"""A page of Django's admin: events to be looked at, and nothing to be changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet

from tk_analytics_mw.django.configured import parts
from tk_analytics_mw.django.storage.models import Event
from tk_analytics_mw.django.storage.storage import DjangoStorage
from tk_analytics_mw.django.storage.survey import organisations_in


class _Exactly(admin.SimpleListFilter):
    """Filters by one value of a field. (Django's own would look at every event to know which there are.)"""

    def queryset(self, _request: Any, queryset: QuerySet[Event]) -> QuerySet[Event]:
        """Those with the value that was chosen."""
        return queryset if self.value() is None else queryset.filter(**{self.parameter_name: self.value()})

    def _choices(self, values: Iterable[str]) -> list[tuple[str, str]]:
        return [(value, value) for value in values]


class EventTypeFilter(_Exactly):
    """The types that the project knows."""

    title = "event type"
    parameter_name = "event_type"

    def lookups(self, _request: Any, _model_admin: Any) -> list[tuple[str, str]]:
        """All of them."""
        return self._choices(parts().event_types.known)


class OrganisationFilter(_Exactly):
    """The organisations that have events."""

    title = "organisation"
    parameter_name = "org_id"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """All of them."""
        return self._choices(organisations_in(model_admin.get_queryset(request).order_by()))


class DeviceTypeFilter(_Exactly):
    """Kinds of devices."""

    title = "device type"
    parameter_name = "device_type"

    def lookups(self, _request: Any, _model_admin: Any) -> list[tuple[str, str]]:
        """All that there are."""
        return self._choices(("mobile", "tablet", "pc", "bot", "other"))


@admin.register(Event)
class EventAdmin(admin.ModelAdmin):
    """Events, the newest first."""

    list_display = ("created_at", "event_type", "org_id", "session_id", "user_id", "asset_id", "metric", "device_type")
    list_filter = (EventTypeFilter, OrganisationFilter, DeviceTypeFilter)
    search_fields = ("session_id__exact", "user_id__exact")
    search_help_text = "the whole ID of a session or of a user"
    date_hierarchy = "created_at"
    ordering = ("-pk",)  # ids are in the order of time, and have an index over all organisations
    sortable_by = ()
    show_full_result_count = False

    def get_queryset(self, request: Any) -> QuerySet[Event]:
        """From the database that the storage is in."""
        storage = parts().storage
        found = super().get_queryset(request)
        return found.using(storage.alias) if isinstance(storage, DjangoStorage) else found

    def has_add_permission(self, _request: Any) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, _request: Any, _obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, _request: Any, _obj: Any = None) -> bool:
        """Nobody: ``tk_analytics erase`` and ``purge`` do, with all that belongs to it."""
        return False
