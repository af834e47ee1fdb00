"""Which application a command works on."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

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
        find = context.find_object(Target)
        try:
            return command(find.parts() if find is not None and app is None else parts_of(app), *args, **options)
        except AnalyticsError as error:
            raise click.ClickException(str(error)) from error

    return found  # type: ignore[return-value]


class Target:
    """An application that a framework's own command line has found already."""

    def __init__(self, parts: FindParts) -> None:
        self.parts = parts


def parts_of(app: str | None) -> Parts:
    """Import what ``--app`` names.

    Raises:
        click.UsageError: it names nothing, or nothing of ours.
    """
    if app is None:
        raise click.UsageError(f"Which application? --app module:analytics, or {APP_VARIABLE} in the environment.")
    module_name, colon, path = app.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as flask and uvicorn do
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise click.UsageError(f"--app: cannot import {module_name!r}: {error}") from error
    for name in (path if colon else "analytics").split("."):
        found = getattr(found, name, None)
    if isinstance(found, Analytics):
        return found.find_parts()
    extension = getattr(found, "extensions", {}).get("tk_analytics")
    if isinstance(extension, Parts):
        return extension
    raise click.UsageError(
        f"--app: {app!r} is a {type(found).__name__}; name an Analytics object, or a Flask application that has one."
    )
