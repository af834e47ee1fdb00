"""``rebuild``: count again what is kept counted, and prepare what is asked for."""

from __future__ import annotations

import json
import time

import click

from tk_analytics_mw.cli.options import json_object
from tk_analytics_mw.cli.progress import progress
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.figures import figures_of


@click.command()
@json_object
@with_parts
def rebuild(parts: Parts, as_json: bool) -> None:
    """Count again what is kept counted for figures, and prepare lists, while events are written and read.

    It is right already, unless somebody changed the database by hand; but the first question about a long time, or
    for a rare value, waits for what this does beforehand.
    """
    figures = figures_of(parts.storage)
    began = time.monotonic()
    with progress("counting") as report:
        figures.rebuild(report)
    seconds = round(time.monotonic() - began, 3)
    click.echo(json.dumps({"seconds": seconds}) if as_json else f"counted again, in {seconds:.1f} s")
