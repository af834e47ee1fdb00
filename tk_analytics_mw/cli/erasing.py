"""``erase`` and ``purge``: remove events."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import click

from tk_analytics_mw.cli.options import age, json_object
from tk_analytics_mw.cli.progress import progress
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.erasure import SLICE, Erased, ErasingStorage, Erasure, Subject


@click.command()
@click.option("--user", "user_id", help="The events of this user.")
@click.option("--session", "session_id", help="The events of this session.")
@click.option("--org", "org_id", help="Only within this organisation; needed if several know such a user or session.")
@json_object
@with_parts
def erase(parts: Parts, user_id: str | None, session_id: str | None, org_id: str | None, as_json: bool) -> None:
    """Remove what is stored of a user or a session, deliveries included. Backups are yours to look after.

    Event by event the database forgets it, and its log. It may be repeated. Those who write wait little.
    """
    if (user_id is None) == (session_id is None):
        raise click.UsageError("Whose events? Either --user or --session.")
    erasure = _erasure(parts)
    if org_id is None:
        known = erasure.organisations(Subject(None, user_id, session_id))
        if len(known) > 1:
            raise click.UsageError(f"Several organisations have such events: {', '.join(known)}. Name one with --org.")
    erased = Erased()
    with progress("erasing") as report:
        for step in erasure.erase(Subject(org_id, user_id, session_id)):
            erased += step.erased
            report(step.done, step.total)
    _report(erased, erasure.finish(), as_json)


@click.command()
@click.option("--older-than", type=age, required=True, help="Events older than this: 12h, 400d.")
@json_object
@with_parts
def purge(parts: Parts, older_than: timedelta, as_json: bool) -> None:
    """Remove old events, deliveries included. The setting retain_days does it all the time."""
    erasure = _erasure(parts)
    before = datetime.now(timezone.utc) - older_than
    total = erasure.count(before)
    erased = Erased()
    with progress("purging") as report:
        while (step := erasure.purge(before, SLICE)).events:
            erased += step
            report(min(erased.events, total), total)
    _report(erased, erasure.finish(), as_json)


def _erasure(parts: Parts) -> Erasure:
    if not isinstance(parts.storage, ErasingStorage):
        raise ConfigurationError(f"{type(parts.storage).__name__} cannot erase events")
    return parts.storage.erasure


def _report(erased: Erased, finished: bool, as_json: bool) -> None:
    if as_json:
        report = {"events": erased.events, "deliveries": erased.deliveries, "logTruncated": finished}
        click.echo(json.dumps(report))
    else:
        click.echo(f"{erased.events:,} events and {erased.deliveries:,} deliveries removed")
    if not finished:
        click.echo("Somebody reads: the database's log may still hold them. Run this again in a while.", err=True)
        raise SystemExit(3)
