"""Back-office pages: who is logged in at the host speaks for an organisation.

What is the same for all frameworks. How to get at the session is each one's own: ``tk_analytics_mw.django`` and
``tk_analytics_mw.flask`` have the authenticators.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from tk_analytics_mw.auth.base import Principal
from tk_analytics_mw.auth.bearer import bearer_of
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.messages import Request
from tk_analytics_mw.waiting import is_async


class SessionAuthenticator(ABC):
    """Finds the organisation that a logged-in person speaks for.

    The principal is of kind ``"session"``: it counts on the host's own pages only. A token in the request comes first,
    so that a page of the shop creates events as itself whoever is logged in.

    Args:
        organisation: given the framework's own request, with its session in place, gives the ID of the organisation,
            or ``None`` for somebody who speaks for none. A plain function: it may ask a database.

    Raises:
        ConfigurationError: it is no plain function.
    """

    name: ClassVar[str]
    """How logs call its principals: never the person."""

    def __init__(self, organisation: Callable[[Any], str | None]) -> None:
        if not callable(organisation) or is_async(organisation):
            raise ConfigurationError(
                f"{type(self).__name__}: organisation is a plain function of your framework's request: "
                "it runs in a thread, where it may wait"
            )
        self._organisation = organisation

    def authenticate(self, request: Request) -> Principal | None:
        """Say for whom the person speaks whose session the request's cookie names."""
        if request.header(b"cookie") is None or bearer_of(request) is not None:
            return None
        with self._enter(request) as own:
            org_id = self._organisation(own) if self._is_logged_in(own) else None
        if not org_id:
            return None
        if not isinstance(org_id, str):
            raise TypeError(f"organisation returned a {type(org_id).__name__}: return an ID, or None")
        return Principal(org_id, kind="session", name=self.name)

    @abstractmethod
    def _enter(self, request: Request) -> AbstractContextManager[Any]:
        """Be within the framework's own request, and give it."""

    def _is_logged_in(self, own: Any) -> bool:  # noqa: ARG002 - for those who know
        """Whether the framework itself knows who this is, where it has a login of its own."""
        return True
