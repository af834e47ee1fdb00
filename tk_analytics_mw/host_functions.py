"""What can be said of a function of the host before it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from tk_analytics_mw.errors import ConfigurationError

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def check_function(function: Any) -> None:
    """Check what a decorator was put on.

    Raises:
        ConfigurationError: it is no function.
    """
    if not callable(function):
        raise ConfigurationError("on() decorates a function: write @analytics.on(...), with the parentheses")


def takes(function: Callable[..., Any], number: int) -> bool:
    """Whether ``function`` can be called with so many positional arguments."""
    try:
        inspect.signature(function).bind(*range(number))
    except (TypeError, ValueError):
        return False
    return True


def wants_request(function: Callable[..., Any]) -> bool:
    """Whether a ``before_store`` function takes the request beside the event.

    Raises:
        ConfigurationError: it takes neither ``(event)`` nor ``(event, request)``.
    """
    try:
        parameters = [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return False  # some builtins do not tell
    if not takes(function, 1) and not takes(function, 2):
        raise ConfigurationError(f"{name_of(function)}: a before_store function takes (event) or (event, request)")
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    # A second parameter with a default is the function's own, as in: lambda event, shop=shop: ...
    return len(positional) > 1 and (positional[1].default is positional[1].empty or positional[1].name == "request")


def name_of(function: Callable[..., Any]) -> str:
    """How logs and errors name a function."""
    return getattr(function, "__qualname__", None) or repr(function)
