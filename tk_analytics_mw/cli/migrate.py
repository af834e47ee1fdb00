"""``migrate``: bring the tables of the storage up to date."""

from __future__ import annotations

import json

import click

from tk_analytics_mw.cli.options import json_object
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.migrations import MigratedStorage


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if there is something to apply.")
@json_object
@with_parts
def migrate(parts: Parts, check: bool, as_json: bool) -> None:
    """Make the storage's tables, or bring them up to date. Run it before each new version of the application.

    Two who run it together are no trouble: the second waits, and finds nothing to do. Nor is a storage that has no
    migrations, or that applies them itself when it is first used, as an SQLite file does: exit code 0 all the same.
    """
    storage = parts.storage
    if not isinstance(storage, MigratedStorage):
        if as_json:
            click.echo(json.dumps({"applied": [], "pending": []}))
        else:
            click.echo(f"nothing to do: a {type(storage).__name__} sees to itself when it is first used")
        return
    pending, applied = (storage.pending(), []) if check else ([], storage.migrate())
    if as_json:
        click.echo(json.dumps({"applied": [*applied], "pending": [*pending]}))
    else:
        for name in applied:
            click.echo(f"applied {name}")
        for name in pending:
            click.echo(f"pending {name}")
        if not applied and not pending:
            click.echo("nothing to do: the tables are up to date")
    if pending:
        raise SystemExit(1)
