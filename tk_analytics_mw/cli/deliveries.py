"""``deliveries``: see what waits, what failed and why, and act."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar, get_args

import click

from tk_analytics_mw.cli.options import age
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.identifiers import first_event_id, time_of
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.outbox import Counts, DeliveryQuery, DeliveryRow, State, outbox_of

Function = TypeVar("Function", bound=Callable[..., Any])


def _selection(command: Function) -> Function:
    for option in (
        click.option("--older-than", type=age, help="Only of events older than this: 15m, 6h, 30d."),
        click.option("--state", "states", multiple=True, type=click.Choice(get_args(State)), help="May be repeated."),
        click.option("--event", "event_id", help="Only of the event with this id."),
        click.option("--name", help="Only of the durable hook of this name."),
    ):
        command = option(command)
    return command


def _query(name: str | None, event_id: str | None, states: tuple[State, ...], older_than: timedelta | None) -> Any:
    before = None if older_than is None else first_event_id(datetime.now(timezone.utc) - older_than)
    return DeliveryQuery(name=name, event_id=event_id, states=states, before=before)


@click.group()
def deliveries() -> None:
    """See the deliveries of durable hooks, replay them, give them up."""


@deliveries.command("list")
@_selection
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(min=1), help="At most so many, the newest first."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_parts
def list_(parts: Parts, limit: int, as_json: bool, **selection: Any) -> None:
    """List deliveries, the newest event first."""
    for row in outbox_of(parts.storage).find(_query(**selection), limit=limit):
        if as_json:
            click.echo(json.dumps(_as_json(row)))
        else:
            click.echo(f"{row.state:<9}  {row.attempts:>2}  {row.id}{'  ' + row.error if row.error else ''}")


@deliveries.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_parts
def counts(parts: Parts, as_json: bool) -> None:
    """How each durable hook stands."""
    found = outbox_of(parts.storage).counts()
    if as_json:
        click.echo(json.dumps({name: asdict(each) for name, each in found.items()}))
        return
    for name, each in found.items():
        known = "" if name in parts.hooks.durable else "  NO FUNCTION HAS THIS NAME"
        off = "" if each.off is None else f"  SWITCHED OFF: {each.off}"
        click.echo(f"{name}: {standing(each)}{known}{off}")


def standing(counts: Counts) -> str:
    """How a durable hook stands, in one line."""
    oldest = "" if counts.oldest_event is None else f", the oldest of {time_of(counts.oldest_event):%Y-%m-%d %H:%M:%S}"
    return (
        f"{counts.pending} pending ({counts.failed} failed before){oldest}, {counts.delivered} delivered, "
        f"{counts.dead} dead, {counts.discarded} discarded"
    )


@deliveries.command()
@click.argument("delivery_id")
@with_parts
def show(parts: Parts, delivery_id: str) -> None:
    """Show one delivery as JSON."""
    found = outbox_of(parts.storage).find(DeliveryQuery(id=delivery_id), limit=1)
    if not found:
        raise click.ClickException(f"there is no delivery {delivery_id!r}")
    click.echo(json.dumps(_as_json(found[0]), indent=2))


@deliveries.command()
@click.argument("delivery_id", required=False)
@_selection
@with_parts
def replay(parts: Parts, delivery_id: str | None, **selection: Any) -> None:
    """Deliver again what was delivered, discarded or given up."""
    number = outbox_of(parts.storage).replay(_chosen(delivery_id, selection))
    click.echo(f"{number} to be delivered again")


@deliveries.command()
@click.argument("delivery_id", required=False)
@_selection
@click.option("--why", default="discarded by hand", show_default=True, help="Kept with them.")
@with_parts
def discard(parts: Parts, delivery_id: str | None, why: str, **selection: Any) -> None:
    """Give up what waits or is dead."""
    number = outbox_of(parts.storage).discard(_chosen(delivery_id, selection), why=why, now=time.time())
    click.echo(f"{number} discarded")


@deliveries.command()
@click.argument("name")
@with_parts
def enable(parts: Parts, name: str) -> None:
    """Switch a durable hook on again that was switched off."""
    _switch(parts, name, off=None)
    click.echo(f"{name} is on")


@deliveries.command()
@click.argument("name")
@click.option("--why", default="by hand", show_default=True)
@with_parts
def disable(parts: Parts, name: str, why: str) -> None:
    """Switch a durable hook off. Its deliveries wait."""
    _switch(parts, name, off=why)
    click.echo(f"{name} is off")


def _switch(parts: Parts, name: str, *, off: str | None) -> None:
    outbox = outbox_of(parts.storage)
    hook = parts.hooks.durable.get(name)
    if hook is not None:
        outbox.enroll(hook.subscription, now=time.time())  # no deliverer may have run yet
    elif name not in outbox.counts():
        raise click.ClickException(f"there is no durable hook {name!r}")
    outbox.switch(name, off=off)


def _chosen(delivery_id: str | None, selection: dict[str, Any]) -> DeliveryQuery:
    if delivery_id is not None:
        return DeliveryQuery(id=delivery_id)
    query: DeliveryQuery = _query(**selection)
    if query == DeliveryQuery():
        raise click.UsageError("Which ones? A delivery's id, or --name, --event, --state, --older-than.")
    return query


def _as_json(row: DeliveryRow) -> dict[str, Any]:
    return {
        name: datetime.fromtimestamp(value, timezone.utc).isoformat() if name.endswith("_at") and value else value
        for name, value in asdict(row).items()
    }
