"""The one ``Analytics`` of a Django project, and its parts as the settings describe them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.signals import setting_changed
from django.db import close_old_connections

from tk_analytics_mw.analytics import Analytics
from tk_analytics_mw.django.sessions import REQUESTS
from tk_analytics_mw.django.signals import receivers
from tk_analytics_mw.parts import Parts, limit_bodies
from tk_analytics_mw.waiting import run_on_loop_thread


class _OfProject(Analytics):
    """Its settings are the project's, which are read when its apps are there."""

    _at_once = False


analytics: Final = _OfProject()
"""Register hooks on it, and record events of your own with it."""


@contextmanager
def _connections() -> Iterator[None]:
    # As Django does around a request: hooks run outside of one, and would keep dead connections.
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def _run_async(function: Any) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return async_to_sync(function)()  # on the server's loop if there is one, as async views run
    return run_on_loop_thread(function)  # called on a loop's own thread, which cannot wait for itself


@lru_cache(maxsize=1)
def parts() -> Parts:
    """Read ``settings.TK_ANALYTICS`` on first use.

    Raises:
        ConfigurationError: an option in it is unknown or invalid.
    """
    made = analytics.make_parts(
        getattr(settings, "TK_ANALYTICS", None),
        around=_connections,
        run_async=_run_async,
        receivers=functools.partial(receivers, analytics),
        requests=REQUESTS,
    )
    return limit_bodies(made, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "TK_ANALYTICS":  # override_settings in a host's tests
        parts.cache_clear()


setting_changed.connect(_forget)
analytics.find_parts = parts
