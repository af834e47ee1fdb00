"""``webhook``: try one, and make a secret for one."""

from __future__ import annotations

import base64
import secrets
import time

import click

from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.errors import Retry
from tk_analytics_mw.parts import Parts


@click.group()
def webhook() -> None:
    """Try a webhook, and make a secret for one."""


@webhook.command()
@click.argument("name")
@with_parts
def ping(parts: Parts, name: str) -> None:
    """Send a signed test message now, of type webhook.ping, and print the answer's status and its time.

    Exit code 1 if it is not a success, with the reason. Nothing is tried again, and nothing is kept.
    """
    webhooks = {key: hook.function for key, hook in parts.hooks.durable.items() if hasattr(hook.function, "ping")}
    if name not in webhooks:
        raise click.ClickException(f"there is no webhook {name!r}; there are: {', '.join(webhooks) or 'none'}")
    start = time.perf_counter()
    try:
        status = webhooks[name].ping(parts.reachable)
    except Retry as error:
        raise click.ClickException(f"{name}: {error} ({_milliseconds(start)})") from error
    click.echo(f"{name}: answered {status} ({_milliseconds(start)})")


@webhook.command()
def secret() -> None:
    """Make a new secret and print it, for the webhook and its receiver."""
    click.echo(f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}")


def _milliseconds(start: float) -> str:
    return f"{(time.perf_counter() - start) * 1000:.0f} ms"
