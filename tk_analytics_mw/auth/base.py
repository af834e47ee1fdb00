"""What an authenticator gets, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from tk_analytics_mw.messages import Request


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking.

    Attributes:
        org_id: the organisation it speaks for. Its events are this organisation's, or a public one's.
        kind: ``"public"`` for what a web page holds: it can only create events, and only from ``domains``.
            ``"private"`` for a server's secret: it can do everything, and is refused in a browser.
            ``"session"`` for who is logged in at the host: it can do everything, from the host's own pages only,
            and gives way to a token that the request carries.
        domains: where a public principal may be used from, as in :class:`PublicToken`; without any it is of no use.
        name: how logs and reports name it. Never the token itself.
    """

    org_id: str
    kind: Literal["public", "private", "session"] = "private"
    domains: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """It takes a look into the storage, or at another server, to say who this is. Take it, then ask again.

    Attributes:
        take: takes it, where one may wait.
    """

    take: Callable[[], None]


class Authenticator(Protocol):
    """Turns the credentials of a request into a :class:`Principal`.

    A plain function ``(request) -> Principal | None`` serves as well; both may be ``async``. ``None``
    means "not mine": the next one is asked, or the answer is 401. To refuse with a reason of your own,
    raise :class:`~tk_analytics_mw.errors.Refused`. Any other exception is logged and answered with 503,
    because a check that could not be made is not a check that was passed.

    Under ASGI a plain one is called in a worker thread. One that only computes may have an attribute
    ``immediate = True``, and is then called on the event loop.
    """

    def authenticate(self, request: Request, /) -> Principal | None | Awaitable[Principal | None]:
        """Say who sends ``request``.

        It has ``headers``, ``query_params`` and ``cookies`` as Starlette spells them, and its ``body``.
        """
        ...


AuthenticatorFunction = Callable[[Request], Principal | None | Awaitable[Principal | None]]
