"""All commands."""

from __future__ import annotations

import click

import tk_analytics_mw
from tk_analytics_mw.cli.deliver import deliver
from tk_analytics_mw.cli.deliveries import deliveries
from tk_analytics_mw.cli.target import Target, app_option, parts_of
from tk_analytics_mw.cli.webhook import webhook

COMMANDS = (deliver, deliveries, webhook)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tk_analytics_mw.__version__, prog_name="tk-analytics")
@app_option
@click.pass_context
def main(context: click.Context, app: str | None) -> None:
    """Look after the analytics of a web application.

    Exit codes: 0 done; 1 it failed, and says why; 2 the command line is wrong.
    """
    if app is not None:
        context.obj = Target(lambda: parts_of(app))


for command in COMMANDS:
    main.add_command(command)
