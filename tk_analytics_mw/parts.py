"""What an endpoint works with: the settings, and what was built from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from tk_analytics_mw.addresses import Reachable
from tk_analytics_mw.auth.combined import AnyOf
from tk_analytics_mw.auth.stored import StoredTokens
from tk_analytics_mw.auth.tokens import TokenAuthenticator
from tk_analytics_mw.commit import GroupCommit
from tk_analytics_mw.deliver_in_process import DeliveringStorage
from tk_analytics_mw.delivery import Deliverer
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.event_types import EventTypes
from tk_analytics_mw.hooks import Hooks, Receivers
from tk_analytics_mw.host_requests import HostRequests, login_of
from tk_analytics_mw.messages import Request
from tk_analytics_mw.plugins import from_entry_point, load_object
from tk_analytics_mw.refusals import Refusals
from tk_analytics_mw.settings import Settings
from tk_analytics_mw.storage.base import Storage
from tk_analytics_mw.storage.erasure import ErasingStorage
from tk_analytics_mw.storage.outbox import DurableStorage, outbox_of
from tk_analytics_mw.storage.refusals import RefusalStorage
from tk_analytics_mw.storage.tokens import TokenStorage
from tk_analytics_mw.storage.urls import storage_from
from tk_analytics_mw.upkeep import Chore, KeptStorage, Retention
from tk_analytics_mw.waiting import Around, Awaiting, Blocking

AUTHENTICATORS: Final = "tk_analytics_mw.authenticators"
"""Group of the entry points by which other packages offer authenticators. What one leads to is what the setting
``authenticator`` takes; a class is called without arguments."""


class Asked(NamedTuple):
    """An authenticator of the host."""

    authenticate: Callable[..., Any]
    immediate: bool
    """Whether it only computes, and needs no thread."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Built once for each host application; nothing in it is opened before its first use."""

    settings: Settings
    event_types: EventTypes
    private_only: frozenset[str]
    """Canonical event types."""
    prefixes: tuple[str, ...]
    """Each with a slash at its end."""
    authenticators: tuple[Asked, ...]
    """The host's own."""
    identify: Callable[[Request], Any] | None
    """Gives the ID of who is logged in at the host."""
    tokens: TokenAuthenticator
    hooks: Hooks
    receivers: Receivers
    """Of the framework's own signal, for this application."""
    storage: Storage
    writes: KeptStorage
    """What group commit writes to."""
    commits: GroupCommit
    refusals: Refusals
    deliverer: Deliverer | None
    """Calls the durable hooks; ``None`` where the storage keeps no deliveries."""
    reachable: Reachable
    """Where webhooks may go."""
    awaiting: Awaiting
    blocking: Blocking


def build_parts(
    settings: Settings,
    hooks: Hooks,
    *,
    around: Around = nullcontext,
    run_async: Callable[..., Any] | None = None,
    receivers: Receivers = tuple,
    requests: HostRequests = HostRequests(),  # noqa: B008 - frozen
) -> Parts:
    """Build the parts.

    Args:
        settings: of the host application.
        hooks: shared by all applications of one :class:`~tk_analytics_mw.Analytics`.
        around: what the framework wants around host code.
        run_async: how the framework runs async host code from a thread; see :class:`Blocking`.
        receivers: of the framework's own signal.
        requests: how to get at the framework's own.

    Raises:
        ConfigurationError: a setting names something that is not there.
    """
    types = EventTypes(settings.event_types)
    storage = storage_from(settings.storage, durability=settings.durability, commit_timeout=settings.commit_timeout)
    hooks.use(types, storage)
    blocking = Blocking(around, run_async)
    return Parts(
        settings=settings,
        event_types=types,
        private_only=frozenset(types.require(value) for value in settings.private_only),
        prefixes=tuple(f"{prefix}/" for prefix in dict.fromkeys([settings.prefix, *settings.aliases])),
        authenticators=tuple(_authenticators(settings.authenticator)),
        identify=login_of(settings.identify, requests),
        hooks=hooks,
        receivers=receivers,
        reachable=Reachable(settings.webhook_allow),
        awaiting=Awaiting(around),
        blocking=blocking,
        **_keeping(settings, hooks, blocking, storage),
    )


@contextmanager
def kept_in(storage: Storage, parts: Parts) -> Iterator[None]:
    """Let an application keep everything in another storage for a while: for tests.

    Its faces have the parts already, wherever they keep them; so the parts stay, and what is in them changes.
    """
    instead = _keeping(parts.settings, parts.hooks, parts.blocking, storage)
    before = {name: getattr(parts, name) for name in instead}
    _put(parts, instead)
    try:
        yield
    finally:
        parts.refusals.close()
        parts.writes.close()
        _put(parts, before)


def _put(parts: Parts, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        object.__setattr__(parts, name, value)  # frozen for everybody else


def _keeping(settings: Settings, hooks: Hooks, blocking: Blocking, storage: Storage) -> dict[str, Any]:
    """The parts that have to do with where things are kept."""
    deliverer = None
    if isinstance(storage, DurableStorage):
        deliverer = Deliverer(hooks, storage.outbox, blocking, keep=settings.keep_deliveries_days * 86_400)
    refusals = Refusals(storage.refusals if isinstance(storage, RefusalStorage) else None)
    writes = KeptStorage(
        DeliveringStorage(storage, hooks, deliverer if settings.deliver_in_process else None),
        [refusals.write, *_upkeep(settings, storage)],
    )
    return {
        "tokens": _tokens(settings, storage),
        "storage": storage,
        "writes": writes,
        "commits": GroupCommit(writes, queue_limit=settings.queue_limit, timeout=settings.commit_timeout),
        "refusals": refusals,
        "deliverer": deliverer,
    }


def deliverer_of(parts: Parts) -> Deliverer:
    """What calls the durable hooks.

    Raises:
        ConfigurationError: the storage keeps no deliveries.
    """
    outbox_of(parts.storage)
    assert parts.deliverer is not None  # noqa: S101 - where there is an outbox there is one
    return parts.deliverer


def limit_bodies(parts: Parts, limit: int | None) -> Parts:
    """Let the host's own bound on request bodies, in bytes, hold for ours too."""
    if limit is None:
        return parts
    names = ("max_body_bytes", "max_batch_bytes")
    bounded = {name: min(limit, getattr(parts.settings, name)) for name in names}
    return replace(parts, settings=parts.settings.model_copy(update=bounded))


def _tokens(settings: Settings, storage: Storage) -> TokenAuthenticator:
    stored = None
    if "stored" in settings.tokens:
        if not isinstance(storage, TokenStorage):
            raise ConfigurationError(f"tokens: 'stored' needs a storage that keeps them; {_kind(storage)} does not")
        stored = StoredTokens(storage.tokens)
    return TokenAuthenticator(
        (token for token in settings.tokens if not isinstance(token, str)),
        stored=stored,
        allow_private_in_query=settings.allow_private_token_in_query,
    )


def _upkeep(settings: Settings, storage: Storage) -> list[Chore]:
    chores: list[Chore] = []
    if settings.retain_days is not None:
        if not isinstance(storage, ErasingStorage):
            raise ConfigurationError(f"retain_days needs a storage that can erase; {_kind(storage)} cannot")
        chores.append(Retention(storage.erasure, settings.retain_days))
    return chores


def _kind(storage: Storage) -> str:
    return f"a {type(storage).__name__}"


def _authenticators(setting: Any) -> Iterator[Asked]:
    if setting is None:
        return
    if isinstance(setting, str):
        named = ":" not in setting
        setting = from_entry_point(AUTHENTICATORS, setting, ()) if named else load_object(setting, "authenticator")
    if isinstance(setting, AnyOf):
        for member in setting.members:
            yield from _authenticators(member)
        return
    method = getattr(setting, "authenticate", setting)
    if not callable(method):
        raise ConfigurationError(
            f"authenticator: a {type(setting).__name__} is neither a function nor an object with authenticate()"
        )
    yield Asked(method, bool(getattr(setting, "immediate", False)))
