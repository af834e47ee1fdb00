"""``export``: events into a file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import BinaryIO, get_args

import click

from tk_analytics_mw.cli.options import age
from tk_analytics_mw.cli.progress import progress
from tk_analytics_mw.cli.selection import wanted_events, with_filters
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.errors import Refused
from tk_analytics_mw.exports import Format, writer_of
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.reader import Reader, reader_of


@click.command()
@with_filters
@click.option("--format", "format_", default="ndjson", show_default=True, type=click.Choice(get_args(Format)))
@click.option("--since", type=age, help="Only of the last while: 12h, 30d.")
@click.option("-o", "--output", type=click.File("wb"), default="-", help="File; default: standard output.")
@with_parts
def export(parts: Parts, format_: Format, since: timedelta | None, output: BinaryIO, **filters: str | None) -> None:
    """Write events into a file, as they are now, while others write.

    They are those of the API's export; NDJSON has what was read from the User-Agent too, so that import stores them
    as they were.
    """
    wanted = wanted_events(parts, **filters)
    reader = reader_of(parts.storage)
    until = reader.last_position()
    chosen = wanted.filters(parts, None if since is None else datetime.now(timezone.utc) - since)
    if format_ != "ndjson" and len(chosen) > 1:
        raise click.UsageError("There are several organisations: name one with --org, or take --format ndjson.")
    if format_ != "ndjson" and not chosen:
        raise click.UsageError("There are no events yet: name an organisation with --org.")
    try:
        with progress("exporting") as report:
            for number, filter_ in enumerate(chosen):
                for chunk, position in _chunks(format_, reader, filter_, until):
                    output.write(chunk)
                    report(number * until + position, len(chosen) * until)
    except Refused as error:
        raise click.ClickException(error.detail) from error


def _chunks(format_: Format, reader: Reader, wanted: Filter, until: int) -> Iterator[tuple[bytes, int]]:
    writer = writer_of(format_, reader, wanted, until, full=True)
    position = 0
    while position < until:
        chunk, position = writer.slice(position)
        yield chunk, position
    yield writer.end(), until
