"""``flask tk-analytics …``: the commands of ``tk-analytics``, for the application that ``flask`` has found."""

from __future__ import annotations

from typing import Final

import click
from flask import current_app
from flask.cli import with_appcontext

from tk_analytics_mw.cli.main import COMMANDS, main
from tk_analytics_mw.cli.target import Target
from tk_analytics_mw.flask import KEY


@click.pass_context
@with_appcontext
def _choose(context: click.Context) -> None:
    parts = current_app.extensions.get(KEY)
    if parts is None:
        raise click.ClickException("analytics.init_app(app) was not called for this application")
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    context.obj = Target(lambda: parts, lambda: app)


commands: Final = click.Group(
    "tk-analytics", commands={str(each.name): each for each in COMMANDS}, callback=_choose, help=main.help
)
"""``flask tk-analytics …``"""
