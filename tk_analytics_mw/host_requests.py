"""The framework's own request, for host functions that read its session or its login."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.messages import Request
from tk_analytics_mw.plugins import load_object
from tk_analytics_mw.waiting import is_async

LOGINS: Final = {"flask-login": "Flask", "django": "Django"}
"""What ``identify`` may name, and the framework that has it."""


@dataclass(frozen=True)
class HostRequests:
    """What a framework's face says of its requests.

    Attributes:
        enter: be within the framework's own request, and give it. Default: our own, which is Starlette's.
        logins: those of :data:`LOGINS` that the framework has: given its request, the ID of who is logged in.
    """

    enter: Callable[[Request], AbstractContextManager[Any]] = nullcontext
    logins: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


def login_of(setting: Any, host: HostRequests) -> Callable[[Request], Any] | None:
    """Make of the setting ``identify`` a function of our request that gives the ID of who is logged in.

    Raises:
        ConfigurationError: the setting is nothing of the kind.
    """
    if setting is None:
        return None
    if isinstance(setting, str):
        if setting in LOGINS:
            function = host.logins.get(setting)
            return _within(host, function) if function else _elsewhere(setting)
        if ":" not in setting:
            raise ConfigurationError(
                f"identify: {setting!r} is none of {', '.join(map(repr, LOGINS))}, nor 'package.module:function'"
            )
        setting = load_object(setting, "identify")
    if not callable(setting):
        raise ConfigurationError(f"identify: a {type(setting).__name__} is no function of a request")
    return _within(host, setting)


def _within(host: HostRequests, function: Callable[[Any], Any]) -> Callable[[Request], Any]:
    def call(request: Request) -> Any:
        with host.enter(request) as own:
            return function(own)

    async def call_async(request: Request) -> Any:
        with host.enter(request) as own:
            return await function(own)

    return call_async if is_async(function) else call


def _elsewhere(name: str) -> Callable[[Request], Any]:
    # Not at the start: an Analytics is made before Flask's init_app() tells where it is mounted.
    def call(_: Request) -> Any:
        raise ConfigurationError(f"identify={name!r} works in {LOGINS[name]} only: give a function of the request")

    return call
