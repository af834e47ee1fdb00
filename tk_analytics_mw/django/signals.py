"""Django's spelling of an *after* hook for every event: the signal :data:`event_stored`."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.dispatch import Signal

from tk_analytics_mw.events import Event
from tk_analytics_mw.host_functions import name_of

logger: Final = logging.getLogger("tk_analytics_mw.hooks")

event_stored: Final = Signal()
"""Sent by :data:`tk_analytics_mw.django.analytics` for each stored event, once it is answered: ``event=``.

It is sent robustly. Receivers may be plain or async, in synchronous and asynchronous stacks.
"""

_HAS_ASYNC: Final = hasattr(event_stored, "asend_robust")  # Django 5.0; on 4.2 async receivers give coroutines


def receivers(sender: object) -> Sequence[Callable[[Event], Any]]:
    """What to call with each stored event: what sends the signal, if anybody is connected to it."""
    if not event_stored.receivers or not event_stored.has_listeners(sender):
        return ()
    return (partial(_asend if _HAS_ASYNC and _on_asyncio() else _send, sender),)


def _on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False  # a thread, or trio, on which Django's asend does not run
    return True


def _send(sender: object, event: Event) -> Awaitable[None] | None:
    responses = event_stored.send_robust(sender, event=event)
    _log_failures(responses, event)
    coroutines = [(receiver, response) for receiver, response in responses if inspect.isawaitable(response)]
    return _finish(coroutines, event) if coroutines else None


async def _finish(coroutines: Iterable[tuple[Any, Awaitable[Any]]], event: Event) -> None:
    for receiver, coroutine in coroutines:
        try:
            await coroutine
        except Exception as error:  # noqa: BLE001 - logged, with the others
            _log_failures([(receiver, error)], event)


async def _asend(sender: object, event: Event) -> None:
    _log_failures(await event_stored.asend_robust(sender, event=event), event)
    await sync_to_async(close_old_connections)()  # in the thread that the plain ones ran in


def _log_failures(responses: Iterable[tuple[Any, Any]], event: Event) -> None:
    # Django logs what a receiver raises, but not for which event.
    for receiver, response in responses:
        if isinstance(response, Exception):
            logger.error(
                "receiver %s failed for event %s (%s)", name_of(receiver), event.id, event.event_type, exc_info=response
            )
