"""``tail``: events as they are stored."""

from __future__ import annotations

import json
import sys
import time
from typing import Final

import click

from tk_analytics_mw.cli.options import json_lines
from tk_analytics_mw.cli.selection import Wanted, wanted_events, with_filters
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.events import Event
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.reader import Reader, reader_of
from tk_analytics_mw.storage.rows import event_of

POLL: Final = 0.5
"""Seconds between two looks for new events."""

_COLOURS: Final = {"product ordered": "green", "product cart-add": "yellow"}


@click.command()
@with_filters
@click.option("-n", "--lines", default=10, show_default=True, type=click.IntRange(0, 10_000), help="First so many.")
@click.option("--no-follow", is_flag=True, help="End then, instead of waiting for new ones.")
@json_lines
@with_parts
def tail(parts: Parts, lines: int, no_follow: bool, as_json: bool, **filters: str | None) -> None:
    """Show the last events, and new ones as they are stored, until Ctrl-C."""
    wanted = wanted_events(parts, **filters)
    reader = reader_of(parts.storage)
    position = reader.last_position()
    for event in _last(parts, reader, wanted, lines):
        _show(event, as_json)
    while not no_follow:
        time.sleep(POLL)
        end = reader.last_position()
        for event in _between(parts, reader, wanted, min(position, end), end):
            _show(event, as_json)
        position = end


def _last(parts: Parts, reader: Reader, wanted: Wanted, number: int) -> list[Event]:
    found: list[Event] = []
    for filter_ in wanted.filters(parts):
        found += reader.events(filter_, "newest", limit=number).events if number else []
    return sorted(found, key=lambda event: event.id)[-number:] if number else []


def _between(parts: Parts, reader: Reader, wanted: Wanted, after: int, until: int) -> list[Event]:
    found: list[Event] = []
    if after < until:
        for filter_ in wanted.filters(parts):
            position = after
            while position < until:
                rows, position = reader.rows(filter_, after=position, until=until)
                found += map(event_of, rows)
    return sorted(found, key=lambda event: event.id)


def _show(event: Event, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(event.as_read()))
    else:
        metric = None if event.metric == 1 else f"{event.metric:g}"
        more = {"user": event.user_id, "asset": event.asset_id, "metric": metric, "device": event.device}
        told = [event.session_id, *(f"{name}={value}" for name, value in more.items() if value)]
        type_ = click.style(event.event_type.removeprefix("product "), fg=_COLOURS.get(event.event_type, "cyan"))
        click.echo(f"{event.created_at:%Y-%m-%d %H:%M:%S}  {event.org_id}  {type_}  {_printable('  '.join(told))}")
    sys.stdout.flush()


def _printable(text: str) -> str:
    """Text of a client as a terminal may be given it: nothing in it moves the cursor."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
