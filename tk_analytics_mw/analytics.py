"""The object that a host application creates."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from tk_analytics_mw.events import Event, EventFields, EventType
from tk_analytics_mw.hooks import Function, Hooks, When
from tk_analytics_mw.intake import record
from tk_analytics_mw.parts import Parts, build_parts
from tk_analytics_mw.settings import Options, collect
from tk_analytics_mw.waiting import Around, run_blocking

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from fastapi import APIRouter
    from flask import Flask
    from starlette.applications import Starlette
    from starlette.types import ASGIApp

    from tk_analytics_mw.asgi import AnalyticsMiddleware as AsgiMiddleware
    from tk_analytics_mw.wsgi import AnalyticsMiddleware as WsgiMiddleware


class Analytics:
    """First-party analytics inside a web application.

    Creating it opens and starts nothing; that happens with the first event, in each process for itself.

    Args:
        options: the settings, see :class:`~tk_analytics_mw.settings.Settings` and the README's table. What is
            not given here is taken from the framework's configuration, then from the environment.

    Raises:
        ConfigurationError: a setting is unknown or invalid.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        # As they were understood: an iterator gives its items once, and a token in a dict would stay there in clear.
        own = collect(options, None, os.environ)
        self._options: Mapping[str, Any] = {name: getattr(own, name) for name in options}
        self.hooks = Hooks()
        self._own_parts = self.make_parts()
        self.find_parts: Callable[[], Parts] = lambda: self._own_parts
        """Which application's parts :meth:`record` uses. A framework with several applications in one process
        puts its own way of knowing here."""

    def make_parts(
        self,
        framework: Mapping[str, Any] | None = None,
        *,
        around: Around = nullcontext,
        run_async: Callable[..., Any] | None = None,
    ) -> Parts:
        """Build what one application's faces work with. For authors of a further framework's face.

        Args:
            framework: the value of ``TK_ANALYTICS`` in the framework's own configuration.
            around: what the framework wants around host code, such as an application context.
            run_async: how the framework runs async host code from a thread.

        Raises:
            ConfigurationError: a setting is unknown or invalid.
        """
        return build_parts(
            collect(self._options, framework, os.environ), self.hooks, around=around, run_async=run_async
        )

    # Hooks

    def on(self, *event_types: str | EventType, when: When = "after") -> Callable[[Function], Function]:
        """Decorate a function that is called with each stored event of these types, or with every event.

        Args:
            event_types: in any spelling of the contract, or your own. None for all.
            when: ``"after"`` the answer has been sent, or ``"inline"``: before it, once the event is durable.
                Neither changes the answer, whatever it raises; an inline one delays it.

        Raises:
            ConfigurationError: there is no such event type.
        """
        return self.hooks.on(event_types, when)

    def before_store(self, function: Function) -> Function:
        """Decorate a function that sees each event before it is stored.

        It may return another event, made with :meth:`Event.replace` or :meth:`Event.with_metadata`, or raise
        :class:`~tk_analytics_mw.Reject`.
        """
        return self.hooks.before_store(function)

    # Events of the host's own

    def record(self, event_type: str | EventType, **fields: Unpack[EventFields]) -> Event:
        """Record an event from host code. It is durable when this returns, and its hooks have run.

        Args:
            event_type: in any spelling.
            fields: see :class:`~tk_analytics_mw.events.EventFields`; ``org_id`` and ``session_id`` are required.

        Raises:
            InvalidEvent: a value is not valid.
            Reject: a ``before_store`` function refuses it.
            StorageUnavailable: it could not be stored.
        """
        parts = self.find_parts()
        return run_blocking(record(str(event_type), fields, parts, parts.blocking))

    async def arecord(self, event_type: str | EventType, **fields: Unpack[EventFields]) -> Event:
        """:meth:`record`, awaited on the running event loop, asyncio's or trio's."""
        parts = self.find_parts()
        return await record(str(event_type), fields, parts, parts.awaiting)

    def close(self) -> None:
        """Let go of what is open in this process. The next event opens it again."""
        self.find_parts().storage.close()

    # Mounting

    def asgi(self, app: ASGIApp | None = None) -> AsgiMiddleware:
        """Put the API in front of an ASGI application; without one, everything else is 404."""
        from tk_analytics_mw.asgi import AnalyticsMiddleware

        return AnalyticsMiddleware(app, self._own_parts)

    def wsgi(self, app: WSGIApplication | None = None) -> WsgiMiddleware:
        """Put the API in front of a WSGI application; without one, everything else is 404."""
        from tk_analytics_mw.wsgi import AnalyticsMiddleware

        return AnalyticsMiddleware(app, self._own_parts)

    def init_app(self, app: Flask) -> None:
        """Mount the API in a Flask application; ``app.config["TK_ANALYTICS"]`` may hold settings.

        Several applications, each with its own settings, may share one ``Analytics`` and its hooks.
        """
        from tk_analytics_mw.flask import init_app

        init_app(self, app)

    def install(self, app: Starlette) -> None:
        """Mount the API in a Starlette or FastAPI application, below all of its middleware, whatever the order.

        Raises:
            ConfigurationError: the application has started, or is of another framework.
        """
        from tk_analytics_mw.fastapi import install

        install(self._own_parts, app)

    def router(self, **options: Any) -> APIRouter:
        """The API as a FastAPI router: in the host's OpenAPI, and its dependencies apply.

        Args:
            options: of :class:`fastapi.APIRouter`, such as ``dependencies``.
        """
        from tk_analytics_mw.fastapi import router

        return router(self._own_parts, **options)
