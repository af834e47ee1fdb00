"""Django's spelling: a line in ``MIDDLEWARE``, or ``include("tk_analytics_mw.django.urls")``.

Settings are in ``TK_ANALYTICS``. Hooks are registered on :data:`analytics`, in an ``AppConfig.ready()`` say,
as signal receivers are::

    from tk_analytics_mw.django import analytics

    @analytics.on("product ordered")
    def confirm(event): ...
"""

from tk_analytics_mw.django.configured import analytics
from tk_analytics_mw.django.middleware import AnalyticsMiddleware
from tk_analytics_mw.django.sessions import DjangoSessionAuthenticator

__all__ = ["AnalyticsMiddleware", "DjangoSessionAuthenticator", "analytics"]
