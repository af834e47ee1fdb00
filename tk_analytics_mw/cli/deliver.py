"""``deliver``: call the durable hooks."""

from __future__ import annotations

import signal
import threading
from typing import Any

import click

from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.delivery import LEASE
from tk_analytics_mw.parts import Parts, deliverer_of


@click.command()
@click.option("--once", is_flag=True, help="End when nothing is due any more: for cron.")
@click.option(
    "--lease",
    default=LEASE,
    show_default=True,
    type=click.FloatRange(min=1.0),
    help="Seconds until another deliverer takes over what one leaves behind that dies. A living one renews it.",
)
@with_parts
def deliver(parts: Parts, once: bool, lease: float) -> None:
    """Call durable hooks for what is due, until SIGTERM or Ctrl-C; a call that is under way ends first.

    Several may run at once, here and on one database.
    """
    deliverer = deliverer_of(parts)
    deliverer.lease = lease
    if not parts.hooks.durable:
        click.echo("There is no durable hook. Is the module that registers them imported?", err=True)
    stop = threading.Event()

    def end(*_: Any) -> None:
        stop.set()

    before = {}
    if threading.current_thread() is threading.main_thread():  # the only one that signals come to
        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        click.echo(f"delivering to {', '.join(parts.hooks.durable) or 'nobody'}", err=True)
        deliverer.run(stop, once=once)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
