"""Flask's spelling: ``analytics.init_app(app)``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from blinker import Namespace
from flask import Flask, current_app
from werkzeug.middleware.proxy_fix import ProxyFix

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.host_functions import name_of
from tk_analytics_mw.parts import Parts, limit_bodies
from tk_analytics_mw.waiting import is_async
from tk_analytics_mw.wsgi import AnalyticsMiddleware

if TYPE_CHECKING:
    from tk_analytics_mw.analytics import Analytics

KEY: Final = "tk_analytics"
"""Where ``app.extensions`` has the parts of an application."""

event_stored: Final = Namespace().signal("event-stored")
"""Sent by an application for each event that it has stored, once it has answered: ``receiver(app, event)``.

Receivers are called as *after* hooks are, plain and async ones, in the application's context. blinker holds them
weakly unless told otherwise, and calls them in no particular order.
"""


def init_app(analytics: Analytics, app: Flask) -> None:
    """Mount the API in ``app``. A second call for the same application changes nothing.

    Host functions run in the application's context. ``MAX_CONTENT_LENGTH`` holds for us too. Flask's own
    ``before_request`` functions, CSRF protection and error handlers do not see our requests.

    Raises:
        ConfigurationError: a setting in ``app.config["TK_ANALYTICS"]`` is unknown or invalid, or the application is
            of another framework.
    """
    if not isinstance(app, Flask):
        raise ConfigurationError(
            f"init_app() is for Flask; for a {type(app).__name__} write analytics.install(app) if it is Starlette's or "
            "FastAPI's, else app = analytics.asgi(app) or analytics.wsgi(app)"
        )
    if KEY in app.extensions:
        return
    parts = analytics.make_parts(
        app.config.get("TK_ANALYTICS"), around=app.app_context, receivers=functools.partial(_receivers, app)
    )
    parts = limit_bodies(parts, app.config.get("MAX_CONTENT_LENGTH"))
    app.extensions[KEY] = parts
    if not isinstance(analytics.find_parts, _Applications):
        analytics.find_parts = _Applications()
    analytics.find_parts.known.append(parts)
    # Below ProxyFix: what it makes of X-Forwarded-Host and -Proto is the URL that the browser called.
    if isinstance(app.wsgi_app, ProxyFix):
        app.wsgi_app.app = AnalyticsMiddleware(app.wsgi_app.app, parts)
    else:
        app.wsgi_app = AnalyticsMiddleware(app.wsgi_app, parts)  # type: ignore[method-assign]


def _receivers(app: Flask) -> Sequence[Callable[[Event], Any]]:
    if not event_stored.receivers or event_stored.is_muted:
        return ()
    return [_called_for(app, receiver) for receiver in event_stored.receivers_for(app)]


def _called_for(app: Flask, receiver: Callable[..., Any]) -> Callable[[Event], Any]:
    # Each on its own: Signal.send() stops at the first one that raises, and takes plain ones only, or async ones only.
    def call(event: Event) -> Any:
        return receiver(app, event=event)

    async def call_async(event: Event) -> Any:
        return await receiver(app, event=event)

    chosen = call_async if is_async(receiver) else call
    chosen.__qualname__ = name_of(receiver)  # for the log
    return chosen


class _Applications:
    """Finds the parts of the application that host code runs in."""

    def __init__(self) -> None:
        self.known: list[Parts] = []

    def __call__(self) -> Parts:
        current: Parts | None = current_app.extensions.get(KEY) if current_app else None
        if current is not None and current in self.known:
            return current
        if len(self.known) == 1:
            return self.known[0]
        raise ConfigurationError("several Flask applications use this Analytics: record within app.app_context()")
