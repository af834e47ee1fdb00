"""Flask's spelling: ``analytics.init_app(app)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Flask, current_app
from werkzeug.middleware.proxy_fix import ProxyFix

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.parts import Parts, limit_bodies
from tk_analytics_mw.wsgi import AnalyticsMiddleware

if TYPE_CHECKING:
    from tk_analytics_mw.analytics import Analytics

KEY: Final = "tk_analytics"
"""Where ``app.extensions`` has the parts of an application."""


def init_app(analytics: Analytics, app: Flask) -> None:
    """Mount the API in ``app``. A second call for the same application changes nothing.

    Host functions run in the application's context. ``MAX_CONTENT_LENGTH`` holds for us too. Flask's own
    ``before_request`` functions, CSRF protection and error handlers do not see our requests.

    Raises:
        ConfigurationError: a setting in ``app.config["TK_ANALYTICS"]`` is unknown or invalid.
    """
    if KEY in app.extensions:
        return
    parts = analytics.make_parts(app.config.get("TK_ANALYTICS"), around=app.app_context)
    parts = limit_bodies(parts, app.config.get("MAX_CONTENT_LENGTH"))
    app.extensions[KEY] = parts
    _remember(analytics, parts)
    # Below ProxyFix: what it makes of X-Forwarded-Host and -Proto is the URL that the browser called.
    if isinstance(app.wsgi_app, ProxyFix):
        app.wsgi_app.app = AnalyticsMiddleware(app.wsgi_app.app, parts)
    else:
        app.wsgi_app = AnalyticsMiddleware(app.wsgi_app, parts)  # type: ignore[method-assign]


def _remember(analytics: Analytics, parts: Parts) -> None:
    known: list[Parts] = getattr(analytics.find_parts, "known", [])
    known.append(parts)

    def find_parts() -> Parts:
        if current_app and KEY in current_app.extensions and current_app.extensions[KEY] in known:
            return current_app.extensions[KEY]  # type: ignore[no-any-return]
        if len(known) == 1:
            return known[0]
        raise ConfigurationError("several Flask applications use this Analytics: record within app.app_context()")

    find_parts.known = known  # type: ignore[attr-defined]
    analytics.find_parts = find_parts
