"""All commands."""

from __future__ import annotations

import click

import tk_analytics_mw
from tk_analytics_mw.cli.backup import backup
from tk_analytics_mw.cli.copying import copy
from tk_analytics_mw.cli.deliver import deliver
from tk_analytics_mw.cli.deliveries import deliveries
from tk_analytics_mw.cli.doctor import doctor
from tk_analytics_mw.cli.erasing import erase, purge
from tk_analytics_mw.cli.export import export
from tk_analytics_mw.cli.importing import import_
from tk_analytics_mw.cli.migrate import migrate
from tk_analytics_mw.cli.openapi import openapi
from tk_analytics_mw.cli.rebuild import rebuild
from tk_analytics_mw.cli.refusals import refusals
from tk_analytics_mw.cli.stats import stats
from tk_analytics_mw.cli.tail import tail
from tk_analytics_mw.cli.target import app_option, target_of
from tk_analytics_mw.cli.token import token
from tk_analytics_mw.cli.webhook import webhook

COMMANDS = (
    doctor,
    stats,
    tail,
    refusals,
    token,
    export,
    import_,
    erase,
    purge,
    migrate,
    rebuild,
    backup,
    copy,
    deliver,
    deliveries,
    webhook,
    openapi,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tk_analytics_mw.__version__, prog_name="tk-analytics")
@app_option
@click.pass_context
def main(context: click.Context, app: str | None) -> None:
    """Look after the analytics of a web application.

    Exit codes: 0 done; 1 it failed, and says why; 2 the command line is wrong.
    """
    if app is not None:
        context.obj = target_of(app)


for command in COMMANDS:
    main.add_command(command)
