"""Flask's own request, for what reads its session or its login."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Final

from flask import Request as FlaskRequest
from flask import current_app

from tk_analytics_mw.auth.sessions import SessionAuthenticator
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.host_requests import HostRequests
from tk_analytics_mw.messages import Request


class FlaskSessionAuthenticator(SessionAuthenticator):
    """Who is logged in at the Flask application speaks for an organisation; for back-office pages.

    ``organisation`` is called with Flask's request, in its context: ``flask.session``, and ``current_user`` of
    Flask-Login, are those of the browser. Flask has no login of its own: what the session means is for it to say.
    What it changes in the session is not kept.

    Args:
        organisation: such as ``lambda request: "acme" if session.get("staff") else None``.
    """

    name: ClassVar[str] = "Flask session"

    def _enter(self, request: Request) -> AbstractContextManager[FlaskRequest]:
        return entered(request)


@contextmanager
def entered(request: Request) -> Iterator[FlaskRequest]:
    """Be within Flask's request context. Its body is the one that has been read: the server's has no more."""
    environ = {**request.scope["wsgi.environ"], "wsgi.input": io.BytesIO(request.body)}
    with current_app.request_context(environ) as context:
        yield context.request


def _flask_login(_: FlaskRequest) -> Any:
    try:
        from flask_login import current_user
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"identify='flask-login' needs {error.name}") from error
    return current_user.get_id() if current_user.is_authenticated else None


REQUESTS: Final = HostRequests(entered, {"flask-login": _flask_login})
