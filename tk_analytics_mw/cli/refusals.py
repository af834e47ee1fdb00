"""``refusals``: what was refused, and why."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import click

from tk_analytics_mw.cli.options import json_object
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.refusals import SAMPLES, RefusalStorage


@click.command()
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 30), help="Of how many, today included.")
@click.option("--org", "org_id", help="Only with tokens of this organisation. Default: all, and without a known token.")
@click.option("--samples", default=10, show_default=True, type=click.IntRange(0, SAMPLES), help="So many of the last.")
@json_object
@with_parts
def refusals(parts: Parts, days: int, org_id: str | None, samples: int, as_json: bool) -> None:
    """Count what was refused or dropped by reason, token and origin, and show the last.

    Each process writes down what it gathered every five seconds at most, when it has something to do.
    """
    if not isinstance(parts.storage, RefusalStorage):
        raise ConfigurationError(f"{type(parts.storage).__name__} does not remember refusals")
    since = datetime.now(timezone.utc).date() - timedelta(days=days - 1)
    counts = parts.storage.refusals.counts(since=since, org_id=org_id)
    last = parts.storage.refusals.samples(limit=samples, org_id=org_id)
    if as_json:
        report = {
            "since": since.isoformat(),
            "counts": [{**refusal._asdict(), "count": number} for refusal, number in counts],
            "samples": [
                {"refused_at": each.refused_at.isoformat(), **each.refusal._asdict(), "path": each.path}
                for each in last
            ],
        }
        click.echo(json.dumps(report))
        return
    for refusal, number in counts:
        click.echo(
            f"{number:>9,}  {refusal.reason:<28}  {refusal.org_id or '-'}  {refusal.token or 'no known token'}  "
            f"{refusal.origin or 'no origin'}"
        )
    if last:
        click.echo("")
    for each in last:
        where = f" at {each.path}" if each.path else ""
        click.echo(f"{each.refused_at:%Y-%m-%d %H:%M:%S}  {each.refusal.reason}{where}  {each.refusal.origin}".rstrip())
