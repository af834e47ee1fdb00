"""Host functions that are called for events: the registry, and the calling.

Functions are held strongly and run in the order of their registration. One that raises is logged; it
changes neither the answer nor the others. The durable ones are called by ``delivery.py``.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from typing_extensions import TypedDict, Unpack

from tk_analytics_mw.errors import ConfigurationError, Drop
from tk_analytics_mw.event_types import EventType, EventTypes, canonical_spelling
from tk_analytics_mw.events import Event
from tk_analytics_mw.host_functions import check_function, name_of, takes, wants_request
from tk_analytics_mw.messages import Request
from tk_analytics_mw.storage.outbox import DurableStorage, Subscription
from tk_analytics_mw.waiting import Waits

logger: Final = logging.getLogger("tk_analytics_mw.hooks")

Function = TypeVar("Function", bound=Callable[..., Any])
When = Literal["after", "inline"]
Calls = Sequence[tuple[Callable[..., Any], Event]]
"""Functions that are due, each with its event."""

Receivers = Callable[[], Sequence[Callable[[Event], Any]]]
"""What is connected to a framework's own signal now: called for each stored event, behind the *after* hooks."""

MAX_ATTEMPTS: Final = 10
"""Of a delivery, by default: with :func:`exponential` over 31 hours, longer than a night."""

MAX_REASONS: Final = 100
"""Reasons that dropped events are counted by; the rest goes under ``other``, for a reason may hold anything."""

# No full stop: a webhook's signature is of its id, which holds the name, and two more parts between full stops.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def exponential(attempt: int) -> float:
    """Seconds to wait after this many failed attempts: 5, 20, 80, ..., at most 12 hours; before jitter."""
    return min(5.0 * 4.0 ** (attempt - 1), 43_200.0)


@dataclass(frozen=True, slots=True)
class _Wanted:
    spellings: tuple[str, ...]  # none for all
    types: frozenset[str]

    @classmethod
    def of(cls, types: Iterable[str | EventType]) -> _Wanted:
        types = tuple(types)
        for type_ in types:
            if not isinstance(type_, str):  # the function itself, say, which would never be called
                raise ConfigurationError(
                    f"a {type(type_).__name__} is no event type: write @analytics.on(...), in the parentheses the types"
                )
        spellings = tuple(map(str, types))
        return cls(spellings, frozenset(map(canonical_spelling, spellings)) | {*spellings})


@dataclass(frozen=True, slots=True)
class _Hook:
    function: Callable[..., Any]
    wanted: _Wanted
    when: When

    def wants(self, event: Event) -> bool:
        return not self.wanted.spellings or event.event_type in self.wanted.types


@dataclass(frozen=True, slots=True)
class DurableHook:
    """A function that is called for each of its deliveries, with the event and the delivery."""

    function: Callable[..., Any]
    subscription: Subscription
    ordered: bool
    max_attempts: int
    backoff: Callable[[int], float]


class DurableOptions(TypedDict, total=False):
    """What more can be said of a durable function."""

    since: Literal["now", "all"]
    """From which events on it wants them: those stored from now on, or all there are. Default: now."""
    ordered: bool
    """Nothing is delivered before what was stored before it, however long that takes. Default: no."""
    max_attempts: int
    """Before a delivery is given up, to be replayed or discarded by somebody. Default: :data:`MAX_ATTEMPTS`."""
    backoff: Callable[[int], float]
    """Seconds to wait after so many failed attempts, give or take a quarter. Default: :func:`exponential`."""


class Hooks:
    """The functions of one :class:`~tk_analytics_mw.Analytics`."""

    def __init__(self) -> None:
        self.durable: dict[str, DurableHook] = {}
        """By name."""
        self.subscriptions: tuple[Subscription, ...] = ()
        """Those of the durable hooks."""
        self.dropped: Counter[str] = Counter()
        """Events that were dropped in this process, by reason."""
        self._hooks: list[_Hook] = []
        self._before_store: list[tuple[Callable[..., Any], bool]] = []  # and whether it wants the request
        self._wanted: list[_Wanted] = []
        self._known: list[EventTypes] = []
        self._storages: list[Any] = []

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
        wanted = _Wanted.of(types)

        def register(function: Function) -> Function:
            check_function(function)
            self._want(wanted)
            self._hooks.append(_Hook(function, wanted, when))
            return function

        return register

    def on_durably(
        self,
        types: Iterable[str | EventType],
        name: str | None,
        **options: Unpack[DurableOptions],
    ) -> Callable[[Function], Function]:
        """Register a durable function. Used as a decorator; see :meth:`tk_analytics_mw.Analytics.on`.

        Raises:
            ConfigurationError: the name or another option will not do, or a storage keeps no deliveries.
        """
        if name is None or _NAME.fullmatch(name) is None:
            raise ConfigurationError(
                "a durable hook needs a name that stays the same: name='confirmation-mail', of letters, digits, _ -"
            )
        if unknown := options.keys() - DurableOptions.__annotations__.keys():
            raise ConfigurationError(f"a durable hook has no option {min(unknown)!r}")
        since = options.get("since", "now")
        if since not in ("now", "all"):
            raise ConfigurationError(f"since is 'now' or 'all', not {since!r}")
        max_attempts = options.get("max_attempts", MAX_ATTEMPTS)
        if max_attempts < 1:
            raise ConfigurationError("max_attempts is 1 or more")
        wanted = _Wanted.of(types)

        def register(function: Function) -> Function:
            check_function(function)
            if not takes(function, 2):
                raise ConfigurationError(f"{name_of(function)}: a durable hook takes two arguments: (event, delivery)")
            if name in self.durable:
                raise ConfigurationError(f"there is a durable hook {name!r} already: a name stands for one function")
            self._want(wanted)
            for storage in self._storages:
                _check_storage(storage, name)
            self.durable[name] = DurableHook(
                function,
                Subscription(name, wanted.types, since),
                options.get("ordered", False),
                max_attempts,
                options.get("backoff", exponential),
            )
            self.subscriptions = tuple(hook.subscription for hook in self.durable.values())
            return function

        return register

    def use(self, types: EventTypes, storage: Any) -> None:
        """Learn which event types there are and where events go, now that the host's settings are known.

        Raises:
            ConfigurationError: a function is registered for a type that is not, or a durable one where deliveries
                cannot be kept.
        """
        for name in self.durable:
            _check_storage(storage, name)
        self._known.append(types)
        self._storages.append(storage)
        for wanted in self._wanted:
            self._check_types(wanted)

    def _want(self, wanted: _Wanted) -> None:
        if self._known:
            self._check_types(wanted)
        self._wanted.append(wanted)

    def _check_types(self, wanted: _Wanted) -> None:
        for spelling in wanted.spellings:
            if all(types.canonical(spelling) is None for types in self._known):
                self._known[-1].require(spelling)

    def before_store(self, function: Function) -> Function:
        """Register a function that sees each event before it is stored. Used as a decorator.

        Raises:
            ConfigurationError: it takes neither ``(event)`` nor ``(event, request)``.
        """
        check_function(function)
        self._before_store.append((function, wants_request(function)))
        return function

    async def prepare(self, event: Event, request: Request | None, waits: Waits) -> tuple[Event, str | None]:
        """Run the ``before_store`` functions; each gets what the one before it made of the event.

        Returns:
            What they made of it, and why it is not to be stored, if one raised :class:`Drop`.

        Raises:
            Reject: one refuses the event.
        """
        for function, with_request in self._before_store:
            try:
                changed = await waits.call(function, event, *((request,) if with_request else ()))
            except Drop as drop:
                return event, self.count_dropped(drop.reason)
            if isinstance(changed, Event):
                event = changed
            elif changed is not None:
                raise TypeError(f"{name_of(function)} returned a {type(changed).__name__}: return an Event, or None")
        return event, None

    def count_dropped(self, reason: str, number: int = 1) -> str:
        """Count events that are answered as if they were stored, and are not. Give the reason they are counted by."""
        if not number:
            return reason
        if reason not in self.dropped:
            if len(self.dropped) >= MAX_REASONS:
                reason = "other"
            self.dropped.setdefault(reason, 0)
        self.dropped[reason] += number  # of a key that is there: no other thread comes in between
        return reason

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
                logger.exception("hook %s failed for event %s (%s)", name_of(function), event.id, event.event_type)


def _check_storage(storage: Any, name: str) -> None:
    if not isinstance(storage, DurableStorage):
        raise ConfigurationError(
            f"the durable hook {name!r} needs a storage with an outbox, such as sqlite:///analytics.db: "
            f"{type(storage).__name__} has none"
        )
