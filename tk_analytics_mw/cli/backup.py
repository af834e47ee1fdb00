"""``backup``: one file that holds everything."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from tk_analytics_mw.cli.options import json_object
from tk_analytics_mw.cli.progress import progress
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.backup import BackedUpStorage


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_object
@with_parts
def backup(parts: Parts, file: Path, as_json: bool) -> None:
    """Copy the database into FILE while the application goes on writing. Nobody else may read it (mode 0600).

    What was acknowledged before this began is in it. To restore it, stop the application, put it in the
    database's place, and remove the files that end in -wal and -shm.
    """
    if not isinstance(parts.storage, BackedUpStorage):
        raise ConfigurationError(f"{type(parts.storage).__name__} is backed up with its own tools")
    began = time.monotonic()
    try:
        with progress("copying") as report:
            parts.storage.backup(file.absolute(), report)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    size, seconds = file.stat().st_size, time.monotonic() - began
    if as_json:
        click.echo(json.dumps({"file": str(file), "bytes": size, "seconds": round(seconds, 3)}))
    else:
        click.echo(f"{file}: {size:,} bytes in {seconds:.1f} s")
