"""Options that several commands have, and how their values are read."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final

import click

_AGE_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

json_object = click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
json_lines = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for scripts.")


def age(text: str) -> timedelta:
    """Read a span of time: ``90s``, ``15m``, ``6h``, ``30d``."""
    number, unit = text[:-1], text[-1:]
    if unit not in _AGE_UNITS or not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise click.BadParameter(f"{text!r} is no span of time: write 90s, 15m, 6h or 30d")
    return timedelta(seconds=int(number) * _AGE_UNITS[unit])


def moment(text: str) -> datetime:
    """Read a moment: a span of time from now on, or ISO 8601; without a time zone it is UTC."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        try:
            return datetime.now(timezone.utc) + age(text)
        except (click.BadParameter, OverflowError):
            raise click.BadParameter(f"{text!r} is no moment: write 90d, or 2027-01-31") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
