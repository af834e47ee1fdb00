"""``INSTALLED_APPS += ["tk_analytics_mw.django.storage"]``: tables for events, and a page of the admin."""

from __future__ import annotations

from typing import Final

from django.apps import AppConfig

APP: Final = "tk_analytics_mw.django.storage"
LABEL: Final = "tk_analytics_storage"
"""Name of the app in ``INSTALLED_APPS``, and what ``manage.py migrate`` calls it."""


class StorageConfig(AppConfig):
    """Brings the models."""

    name = APP
    label = LABEL
    verbose_name = "Analytics"
    default_auto_field = "django.db.models.BigAutoField"  # ours, whatever the project's is: no migration of its own
