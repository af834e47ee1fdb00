"""Which application a command works on."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from tk_analytics_mw.analytics import Analytics
from tk_analytics_mw.errors import AnalyticsError
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.settings import APP_VARIABLE

Function = TypeVar("Function", bound=Callable[..., Any])
FindParts = Callable[[], Parts]


def with_parts(command: Function) -> Function:
    """Give a command the parts of the application as its first argument.

    ``flask`` and ``manage.py`` know their application. ``tk-analytics`` is told with ``--app``.
    """

    @click.option(
        "--app",
        envvar=APP_VARIABLE,
        metavar="MODULE:NAME",
        help="Where the Analytics object, or the Flask application, is to be imported from.",
    )
    @click.pass_context
    @functools.wraps(command)
    def found(context: click.Context, /, *args: Any, app: str | None, **options: Any) -> Any:
        find = found_target(context)
        try:
            return command(parts_of(app) if find is None else find.parts(), *args, **options)
        except AnalyticsError as error:
            raise click.ClickException(str(error)) from error

    return found  # type: ignore[return-value]


class Target:
    """An application that a framework's own command line has found already.

    Args:
        parts: gives its parts.
        application: gives the WSGI application itself.
    """

    def __init__(self, parts: FindParts, application: Callable[[], Any] | None = None) -> None:
        self.parts = parts
        self.application = application


def found_target(context: click.Context) -> Target | None:
    """What a framework's own command line has found, unless another application is named on the command line.

    The variable in the environment is for those who have found none.
    """
    named = context.get_parameter_source("app") is ParameterSource.COMMANDLINE
    return None if named else context.find_object(Target)


def parts_of(app: str | None) -> Parts:
    """The parts of what ``--app`` names.

    Raises:
        click.UsageError: it names nothing, or nothing of ours.
    """
    if app is None:
        raise click.UsageError(f"Which application? --app module:analytics, or {APP_VARIABLE} in the environment.")
    found = load(app)
    if isinstance(found, Analytics):
        return found.find_parts()
    for parts in _parts_within(found):
        return parts
    raise click.UsageError(
        f"--app: {app!r} is a {type(found).__name__}; name an Analytics object, or an application that has one."
    )


def load(app: str) -> Any:
    """Import what ``module:name`` says; without a name, its ``analytics``.

    Raises:
        click.UsageError: there is no such module.
    """
    module_name, colon, path = app.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as flask and uvicorn do
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise click.UsageError(f"--app: cannot import {module_name!r}: {error}") from error
    for name in (path if colon else "analytics").split("."):
        found = getattr(found, name, None)
    return found


def _parts_within(application: Any) -> Iterator[Parts]:
    candidates = [
        getattr(application, "extensions", {}).get("tk_analytics"),  # Flask
        getattr(application, "parts", None),  # our own middleware
        *(each.kwargs.get("parts") for each in getattr(application, "user_middleware", ())),  # Starlette
    ]
    for candidate in candidates:
        if isinstance(candidate, Parts):
            yield candidate
