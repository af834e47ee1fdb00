"""``copy``: from one storage to another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing

import click

from tk_analytics_mw.cli.options import json_object
from tk_analytics_mw.cli.progress import progress
from tk_analytics_mw.errors import AnalyticsError, ConfigurationError
from tk_analytics_mw.storage.base import Storage
from tk_analytics_mw.storage.copying import Copy, Total
from tk_analytics_mw.storage.migrations import MigratedStorage
from tk_analytics_mw.storage.urls import storage_from

TIMEOUT = 30.0
"""Seconds to wait for an engine: longer than a shop does, whose clients wait."""


@click.command("copy")
@click.option("--from", "source_url", required=True, metavar="URL", envvar="TK_ANALYTICS_COPY_FROM", show_envvar=True)
@click.option("--to", "target_url", required=True, metavar="URL", envvar="TK_ANALYTICS_COPY_TO", show_envvar=True)
@json_object
def copy(source_url: str, target_url: str, as_json: bool) -> None:
    """Copy everything from one storage to another, whatever both are, and compare them in the end.

    Events, deliveries that wait, tokens and refusals. Run it again after an interruption, or when the source has
    grown: it goes on where it ended, and nothing comes twice. To move a shop that is open: copy, end the shop and
    its deliverers, copy again, which takes little, and start them with the new setting.

    URLs are those of the setting storage. One with a password is better given in the environment.

    The exit code is 1 if the target does not hold the same events in the end, or there are none.
    """
    try:
        with closing(_source(source_url)) as source, closing(_opened("--to", target_url)) as target:
            if isinstance(target, MigratedStorage):
                target.migrate()
            work = Copy(source, target)
            with progress("copying") as report:
                work.run(report)
            with progress("comparing") as report:
                totals = work.totals(report)
    except AnalyticsError as error:
        raise click.ClickException(str(error)) from error
    same = all(there in (here, None) for here, there in totals.values())
    if as_json:
        organisations = {org_id: {"from": _json(a), "to": _json(b)} for org_id, (a, b) in totals.items()}
        click.echo(json.dumps({"organisations": organisations, "same": same, "left": work.left}))
    else:
        _tell(totals)
        for what in work.left:
            click.echo(f"stays behind: {what}", err=True)
    if not totals:
        raise click.ClickException("There are no events in it. Is the URL behind --from right?")
    if not same:
        raise click.ClickException("The target does not hold the same events. Did something else write to it?")


def _source(url: str) -> Storage:
    from tk_analytics_mw.storage.sqlite import SqliteStorage

    source = _opened("--from", url)
    if isinstance(source, SqliteStorage) and not source.path.exists():  # it would be made, and empty
        raise click.UsageError(f"--from: there is no file {source.path}")
    return source


def _opened(option: str, url: str) -> Storage:
    try:
        return storage_from(url, durability="full", commit_timeout=TIMEOUT)
    except ConfigurationError as error:
        raise click.UsageError(f"{option}: {error}") from error


def _tell(totals: Mapping[str, tuple[Total, Total | None]]) -> None:
    for org_id, (here, there) in totals.items():
        line = f"{org_id}: {here.events:,} events, checksum {here.checksum:016x}"
        if there is None:
            line += "; the target cannot be read, and was not compared"
        elif there != here:
            line += f"; the target has {there.events:,}, checksum {there.checksum:016x}"
        else:
            line += ", both"
        click.echo(line)


def _json(total: Total | None) -> dict[str, int | str] | None:
    return None if total is None else {"events": total.events, "checksum": f"{total.checksum:016x}"}
