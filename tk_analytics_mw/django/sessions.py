"""Django's own request, for what reads its session or its login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Final

from django.apps import apps
from django.http import HttpRequest

from tk_analytics_mw.auth.sessions import SessionAuthenticator
from tk_analytics_mw.host_requests import HostRequests
from tk_analytics_mw.messages import Request

SCOPE_KEY: Final = "tk_analytics.django_request"
"""Where the scope has Django's request."""


class DjangoSessionAuthenticator(SessionAuthenticator):
    """Who is logged in at the Django project speaks for an organisation; for back-office pages.

    ``organisation`` is called with Django's request, its ``user`` and ``session`` in place wherever our line stands
    in ``MIDDLEWARE``, and only if that user is logged in.

    Args:
        organisation: such as ``lambda request: "acme" if request.user.is_staff else None``.
    """

    name: ClassVar[str] = "Django session"

    def _enter(self, request: Request) -> AbstractContextManager[HttpRequest]:
        return entered(request)

    def _is_logged_in(self, own: Any) -> bool:
        return bool(own.user.is_authenticated)


@contextmanager
def entered(request: Request) -> Iterator[HttpRequest]:
    """Give Django's request, with a session and a user: those of its middleware, or found as it finds them."""
    own: HttpRequest = request.scope[SCOPE_KEY]
    if not hasattr(own, "session"):
        from django.contrib.sessions.middleware import SessionMiddleware

        SessionMiddleware(_nothing).process_request(own)
    if not hasattr(own, "user") and apps.is_installed("django.contrib.auth"):
        from django.contrib.auth.middleware import AuthenticationMiddleware

        AuthenticationMiddleware(_nothing).process_request(own)
    yield own


def _nothing(_: HttpRequest) -> None:
    """Middleware wants what it stands in front of."""


def _logged_in(own: Any) -> Any:
    return own.user.pk if own.user.is_authenticated else None


REQUESTS: Final = HostRequests(entered, {"django": _logged_in})
