"""Host functions that are called for events: the registry, and the calling.

Functions are held strongly and run in the order of their registration. One that raises is logged; it
changes neither the answer nor the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event, EventType, EventTypes, canonical_spelling
from tk_analytics_mw.waiting import Waits

logger: Final = logging.getLogger("tk_analytics_mw.hooks")

Function = TypeVar("Function", bound=Callable[..., Any])
When = Literal["after", "inline"]
Calls = Sequence[tuple[Callable[..., Any], Event]]
"""Functions that are due, each with its event."""


@dataclass(frozen=True, slots=True)
class _Hook:
    function: Callable[..., Any]
    spellings: tuple[str, ...]  # none for all
    types: frozenset[str]
    when: When

    def wants(self, event: Event) -> bool:
        return not self.spellings or event.event_type in self.types


class Hooks:
    """The functions of one :class:`~tk_analytics_mw.Analytics`."""

    def __init__(self) -> None:
        self._hooks: list[_Hook] = []
        self._before_store: list[Callable[[Event], Any]] = []
        self._known: list[EventTypes] = []

    @property
    def prepares(self) -> bool:
        """Whether there is a ``before_store`` function."""
        return bool(self._before_store)

    def __bool__(self) -> bool:
        return bool(self._hooks or self._before_store)

    def on(self, types: Iterable[str | EventType], when: When) -> Callable[[Function], Function]:
        """Register a function for some event types, or for all if none is given. Used as a decorator.

        Raises:
            ConfigurationError: ``when`` or an event type is not one.
        """
        if when not in ("after", "inline"):
            raise ConfigurationError(f"when is 'after' or 'inline', not {when!r}")
        spellings = tuple(map(str, types))

        def register(function: Function) -> Function:
            if not callable(function):
                raise ConfigurationError("on() decorates a function: write @analytics.on(...), with the parentheses")
            hook = _Hook(function, spellings, frozenset(map(canonical_spelling, spellings)) | {*spellings}, when)
            if self._known:
                self._check(hook)
            self._hooks.append(hook)
            return function

        return register

    def use_types(self, types: EventTypes) -> None:
        """Learn which event types there are, now that the host's settings are known.

        Raises:
            ConfigurationError: a function is registered for one that is not.
        """
        self._known.append(types)
        for hook in self._hooks:
            self._check(hook)

    def _check(self, hook: _Hook) -> None:
        for spelling in hook.spellings:
            if all(types.canonical(spelling) is None for types in self._known):
                self._known[-1].require(spelling)

    def before_store(self, function: Function) -> Function:
        """Register a function that sees each event before it is stored. Used as a decorator."""
        self._before_store.append(function)
        return function

    async def prepare(self, event: Event, waits: Waits) -> Event:
        """Run the ``before_store`` functions; each gets what the one before it made of the event.

        Raises:
            Reject: one refuses the event.
        """
        for function in self._before_store:
            changed = await waits.call(function, event)
            if isinstance(changed, Event):
                event = changed
            elif changed is not None:
                raise TypeError(f"{_name(function)} returned a {type(changed).__name__}: return an Event, or None")
        return event

    def wanted(self, when: When, events: Sequence[Event]) -> Calls:
        """The calls to make for these stored events."""
        return [
            (hook.function, event)
            for event in events
            for hook in self._hooks
            if hook.when == when and hook.wants(event)
        ]

    async def run(self, calls: Calls, waits: Waits) -> None:
        """Make these calls. What they raise is logged with the event's id."""
        for function, event in calls:
            try:
                await waits.call(function, event)
            except Exception:
                logger.exception("hook %s failed for event %s (%s)", _name(function), event.id, event.event_type)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
