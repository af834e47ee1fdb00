"""``INSTALLED_APPS += ["tk_analytics_mw.django.storage"]``: tables for events, and a page of the admin."""

from __future__ import annotations

from django.apps import AppConfig

from tk_analytics_mw.django.storage import APP, LABEL


class StorageConfig(AppConfig):
    """Brings the models."""

    name = APP
    label = LABEL
    verbose_name = "Analytics"
    default_auto_field = "django.db.models.BigAutoField"  # ours, whatever the project's is: no migration of its own
