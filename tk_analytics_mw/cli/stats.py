"""``stats``: what is stored."""

from __future__ import annotations

import json

import click

from tk_analytics_mw.cli.options import json_object
from tk_analytics_mw.cli.selection import surveyed
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.outbox import DurableStorage


@click.command()
@json_object
@with_parts
def stats(parts: Parts, as_json: bool) -> None:
    """What is stored: events by organisation and type, since when, and how large it is."""
    found = surveyed(parts).survey()
    totals = {org_id: sum(types.values()) for org_id, types in found.events.items()}
    deliveries = parts.storage.outbox.counts() if isinstance(parts.storage, DurableStorage) else {}
    if as_json:
        report = {
            "events": sum(totals.values()),
            "byOrganisation": found.events,
            "oldest": None if found.oldest is None else found.oldest.isoformat(),
            "newest": None if found.newest is None else found.newest.isoformat(),
            "last24Hours": found.last_day,
            "bytes": found.size,
            "deliveries": {name: {"pending": each.pending, "dead": each.dead} for name, each in deliveries.items()},
        }
        click.echo(json.dumps(report))
        return
    click.echo(f"{sum(totals.values()):,} events, {found.last_day:,} of the last 24 hours, {found.size / 1e6:,.1f} MB")
    if found.oldest is not None and found.newest is not None:
        click.echo(f"from {found.oldest:%Y-%m-%d %H:%M:%S} to {found.newest:%Y-%m-%d %H:%M:%S} UTC")
    for org_id, types in found.events.items():
        click.echo(f"\n{org_id}: {totals[org_id]:,}")
        for event_type, number in sorted(types.items(), key=lambda each: -each[1]):
            click.echo(f"{number:>14,}  {event_type}")
    for name, each in deliveries.items():
        click.echo(f"\ndeliveries to {name}: {each.pending:,} pending, {each.dead:,} dead")
