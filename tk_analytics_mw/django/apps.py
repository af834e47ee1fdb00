"""``INSTALLED_APPS += ["tk_analytics_mw.django"]``: for ``manage.py tk_analytics``."""

from __future__ import annotations

from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    """Brings the management command."""

    name = "tk_analytics_mw.django"
    label = "tk_analytics"
    verbose_name = "Analytics"
