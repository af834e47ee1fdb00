"""The object that a host application creates."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import Unpack

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.event_types import EventType
from tk_analytics_mw.events import Event, EventFields
from tk_analytics_mw.hooks import DurableOptions, Function, Hooks, Receivers, When
from tk_analytics_mw.host_requests import HostRequests
from tk_analytics_mw.intake import record, record_within
from tk_analytics_mw.parts import Parts, build_parts, deliverer_of
from tk_analytics_mw.settings import Options, collect
from tk_analytics_mw.storage.figures import Figures, figures_of
from tk_analytics_mw.storage.outbox import Outbox, outbox_of
from tk_analytics_mw.waiting import Around, run_blocking

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from fastapi import APIRouter
    from flask import Flask
    from starlette.applications import Starlette
    from starlette.types import ASGIApp

    from tk_analytics_mw.asgi import AnalyticsMiddleware as AsgiMiddleware
    from tk_analytics_mw.webhooks import WebhookOptions
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
        if self._at_once:
            self._own_parts  # noqa: B018 - what is wrong with the settings is said here
        self.find_parts: Callable[[], Parts] = lambda: self._own_parts
        """Which application's parts :meth:`record` uses. A framework with several applications in one process
        puts its own way of knowing here."""

    _at_once: ClassVar[bool] = True

    @cached_property
    def _own_parts(self) -> Parts:
        return self.make_parts()

    def make_parts(
        self,
        framework: Mapping[str, Any] | None = None,
        *,
        around: Around = nullcontext,
        run_async: Callable[..., Any] | None = None,
        receivers: Receivers = tuple,
        requests: HostRequests = HostRequests(),  # noqa: B008 - frozen
    ) -> Parts:
        """Build what one application's faces work with. For authors of a further framework's face.

        Args:
            framework: the value of ``TK_ANALYTICS`` in the framework's own configuration.
            around: what the framework wants around host code, such as an application context.
            run_async: how the framework runs async host code from a thread.
            receivers: gives what is connected to the framework's own signal, to be called with each stored event.
            requests: how to get at the framework's own requests, for its session and its login.

        Raises:
            ConfigurationError: a setting is unknown or invalid.
        """
        return build_parts(
            collect(self._options, framework, os.environ),
            self.hooks,
            around=around,
            run_async=run_async,
            receivers=receivers,
            requests=requests,
        )

    # Hooks

    def on(
        self,
        *event_types: str | EventType,
        when: When = "after",
        durable: bool = False,
        name: str | None = None,
        **options: Unpack[DurableOptions],
    ) -> Callable[[Function], Function]:
        """Decorate a function that is called with each stored event of these types, or with every event.

        Args:
            event_types: in any spelling of the contract, or your own. None for all.
            when: ``"after"`` the answer has been sent, or ``"inline"``: before it, once the event is durable.
                Neither changes the answer, whatever it raises; an inline one delays it.
            durable: call it at least once, whatever happens, with ``(event, delivery)``: a deliverer does,
                ``tk-analytics deliver`` or the setting ``deliver_in_process``.
            name: of a durable function: unique, and the same for ever, for its deliveries are kept under it.
            options: of a durable function, see :class:`~tk_analytics_mw.hooks.DurableOptions`.

        Raises:
            ConfigurationError: there is no such event type; or a durable function has no name of its own, takes
                other arguments, or its storage keeps no deliveries.
        """
        if durable:
            if when != "after":
                raise ConfigurationError("a durable hook runs in a deliverer: leave when= out")
            return self.hooks.on_durably(event_types, name, **options)
        if name is not None or options:
            raise ConfigurationError("name and its further options belong to a durable hook: add durable=True")
        return self.hooks.on(event_types, when)

    def webhook(
        self,
        url: str,
        *,
        secret: str | Sequence[str],
        name: str,
        events: Iterable[str | EventType] | None = None,
        **options: Unpack[WebhookOptions],
    ) -> None:
        """POST each stored event of these types to a URL, durably, signed as Standard Webhooks says.

        A 2xx answer is success. 410 switches the webhook off. Everything else, and none, is tried again: not before
        the receiver's ``Retry-After``. Redirects are not followed. Addresses that are not public are refused, at
        each attempt, unless the setting ``webhook_allow`` has them.

        Args:
            url: ``https://…``. Neither logs nor errors show more of it than its host.
            secret: ``whsec_…``; two of them while one replaces the other, and both sign.
            name: as of any durable hook: unique, and the same for ever.
            events: their types, as of :meth:`on`; for all of them leave it out.
            options: see :class:`~tk_analytics_mw.webhooks.WebhookOptions`.

        Raises:
            ConfigurationError: one of them will not do, or the extra ``webhooks`` is not installed.
        """
        try:
            from tk_analytics_mw.webhooks import Webhook, split
        except ModuleNotFoundError as error:
            raise ConfigurationError(f'webhooks need {error.name}: pip install "tk_analytics_mw[webhooks]"') from error
        of_hook, of_webhook = split(options)
        webhook = Webhook(name, url, secret, reachable=lambda: self.find_parts().reachable, options=of_webhook)
        types = (events,) if isinstance(events, str) else tuple(events or ())
        if not types and events is not None:  # of a list that came out empty: not everything to somebody else
            raise ConfigurationError(f"webhook {name!r}: events names none; for all of them leave it out")
        self.hooks.on_durably(types, name, **of_hook)(webhook)

    def before_store(self, function: Function) -> Function:
        """Decorate a function that sees each event before it is stored.

        It may return another event, made with :meth:`Event.replace` or :meth:`Event.with_metadata`, raise
        :class:`~tk_analytics_mw.Reject` (the client gets 422), or :class:`~tk_analytics_mw.Drop` (the client gets
        200, and nothing is stored). If it takes two arguments the second is the
        :class:`~tk_analytics_mw.Request`, or ``None`` for an event of host code.
        """
        return self.hooks.before_store(function)

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many events were dropped in this process, by reason: that of :class:`~tk_analytics_mw.Drop`,
        ``"Sec-GPC"`` or ``"bot"``."""
        return dict(self.hooks.dropped)

    # Durable hooks

    @property
    def outbox(self) -> Outbox:
        """The deliveries of durable hooks: ``outbox.counts()`` by name, and what there is to look at and replay.

        Raises:
            ConfigurationError: the storage keeps none.
        """
        return outbox_of(self.find_parts().storage)

    @property
    def figures(self) -> Figures:
        """Counts over many events, for host code; ``figures.rebuild()`` sums up all days beforehand.

        Raises:
            ConfigurationError: the storage gives none.
        """
        return figures_of(self.find_parts().storage)

    def deliver(self, stop: threading.Event | None = None, *, once: bool = False) -> None:
        """Call the durable hooks for what is due, in this thread and others, until ``stop`` is set.

        What ``tk-analytics deliver`` does, for a process of your own.

        Args:
            stop: set it to end, in another thread or a signal handler.
            once: return when nothing is due any more.

        Raises:
            ConfigurationError: the storage keeps no deliveries.
        """
        deliverer_of(self.find_parts()).run(stop or threading.Event(), once=once)

    # Events of the host's own

    def record(self, event_type: str | EventType, *, using: Any = None, **fields: Unpack[EventFields]) -> Event:
        """Record an event from host code. It is durable when this returns, and its hooks have run.

        One that a ``before_store`` function drops comes back all the same, stored nowhere.

        Args:
            event_type: in any spelling.
            using: a transaction of the host's that is to hold the event too, so that an order and its event are
                kept both or neither: the alias of a Django database, a session or connection of SQLAlchemy. Then
                the event is durable, and its hooks run, when that transaction is committed.
            fields: see :class:`~tk_analytics_mw.events.EventFields`; ``org_id`` and ``session_id`` are required.

        Raises:
            InvalidEvent: a value is not valid.
            Reject: a ``before_store`` function refuses it.
            StorageUnavailable: it could not be stored.
            ConfigurationError: the storage cannot write in this transaction.
        """
        parts = self.find_parts()
        if using is not None:
            return run_blocking(record_within(using, str(event_type), fields, parts))
        return run_blocking(record(str(event_type), fields, parts, parts.blocking))

    async def arecord(self, event_type: str | EventType, **fields: Unpack[EventFields]) -> Event:
        """:meth:`record`, awaited on the running event loop, asyncio's or trio's."""
        parts = self.find_parts()
        return await record(str(event_type), fields, parts, parts.awaiting)

    def close(self) -> None:
        """Let go of what is open in this process. The next event opens it again."""
        parts = self.find_parts()
        parts.refusals.close()
        parts.writes.close()

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
