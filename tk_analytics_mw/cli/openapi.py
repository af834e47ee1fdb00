"""``openapi``: what the API takes and gives."""

from __future__ import annotations

import json

import click

from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.parts import Parts


@click.command()
@with_parts
def openapi(parts: Parts) -> None:
    """Print the description of the API, OpenAPI 3.1."""
    from tk_analytics_mw.openapi import document  # it takes longer than everything else to import

    click.echo(json.dumps(document(parts.prefixes[0].rstrip("/")), indent=2))
