"""Several authenticators for one setting."""

from __future__ import annotations

from typing import Any

from tk_analytics_mw.errors import ConfigurationError


class AnyOf:
    """See :func:`any_of`, which makes it."""

    def __init__(self, members: tuple[Any, ...]) -> None:
        self.members = members

    def __repr__(self) -> str:
        return f"any_of({', '.join(map(repr, self.members))})"


def any_of(*authenticators: Any) -> AnyOf:
    """Combine authenticators: they are asked in this order, and the first one that knows the request decides.

    It decides with a :class:`~tk_analytics_mw.Principal`, with :class:`~tk_analytics_mw.Refused`, or by failing, which
    is answered with 503: whoever comes later is not asked. After ``None`` the next one is, and in the end the tokens.

    Args:
        authenticators: whatever the setting ``authenticator`` takes: functions, objects, ``"package.module:Class"``.

    Raises:
        ConfigurationError: there is none.
    """
    members: list[Any] = []
    for authenticator in authenticators:
        members += authenticator.members if isinstance(authenticator, AnyOf) else [authenticator]
    if not members:
        raise ConfigurationError("any_of() needs an authenticator")
    return AnyOf(tuple(members))
