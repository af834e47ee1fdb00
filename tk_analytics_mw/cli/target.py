"""Which application a command works on."""

from __future__ import annotations

import functools
import importlib
import operator
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from tk_analytics_mw.analytics import Analytics
from tk_analytics_mw.errors import AnalyticsError
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.settings import APP_VARIABLE

Function = TypeVar("Function", bound=Callable[..., Any])
FindParts = Callable[[], Parts]


app_option: Final = click.option(
    "--app",
    metavar="MODULE:NAME",
    help=f"Where to import the Analytics object or the Flask application from; else ${APP_VARIABLE} says.",
)
"""May stand before the command and behind it."""


def with_parts(command: Function) -> Function:
    """Give a command the parts of the application as its first argument.

    ``flask`` and ``manage.py`` know their application. ``tk-analytics`` is told with ``--app``.
    """

    @app_option
    @click.pass_context
    @functools.wraps(command)
    def found(context: click.Context, /, *args: Any, app: str | None, **options: Any) -> Any:
        target = context.find_object(Target) if app is None else None
        context.obj = target = target or target_of(app)
        try:
            return command(target.parts(), *args, **options)
        except AnalyticsError as error:
            raise click.ClickException(str(error)) from error

    return found  # type: ignore[return-value]


class Target:
    """An application that the command line has named, or a framework's own has found.

    Args:
        parts: gives its parts.
        application: gives the WSGI or ASGI application itself; ``None`` if only its parts are known.
    """

    def __init__(self, parts: FindParts, application: Callable[[], Any]) -> None:
        self.parts = parts
        self.application = application


def target_of(app: str | None) -> Target:
    """What ``--app`` or the environment names; it is imported when it is asked for."""

    def application() -> Any:
        found = load(app)
        return None if isinstance(found, Analytics) else found

    return Target(lambda: parts_of(app), application)


def parts_of(app: str | None) -> Parts:
    """The parts of what ``--app`` names.

    Raises:
        click.UsageError: it names nothing, or nothing of ours.
    """
    found = load(app)
    if isinstance(found, Analytics):
        return found.find_parts()
    candidates = [
        getattr(found, "extensions", {}).get("tk_analytics"),  # Flask
        getattr(found, "parts", None),  # our own middleware
        *(each.kwargs.get("parts") for each in getattr(found, "user_middleware", ())),  # Starlette
    ]
    for candidate in candidates:
        if isinstance(candidate, Parts):
            return candidate
    raise click.UsageError(
        f"--app: a {type(found).__name__} is there; name an Analytics object, or an application that has one."
    )


def load(app: str | None) -> Any:
    """Import what ``module:name`` says; without a name, its ``analytics``; without any, what the environment says.

    Raises:
        click.UsageError: there is no such thing.
    """
    app = app or os.environ.get(APP_VARIABLE)
    if not app:
        raise click.UsageError(f"Which application? --app module:analytics, or {APP_VARIABLE} in the environment.")
    module_name, colon, path = app.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise click.UsageError(f"--app: {app!r} is no MODULE:NAME")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as flask and uvicorn do
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise click.UsageError(f"--app: cannot import {module_name!r}: {error}") from error
    path = path if colon else "analytics"
    try:
        return operator.attrgetter(path)(found)
    except AttributeError:
        raise click.UsageError(f"--app: {module_name!r} has no {path!r}") from None
