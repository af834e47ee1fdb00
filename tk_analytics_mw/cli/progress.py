"""How far long work has come: a bar on a terminal, a line now and then elsewhere. On standard error, always."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

EVERY: Final = 5.0
"""Seconds between two lines."""

Report = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


@contextmanager
def progress(label: str, *, clock: Callable[[], float] = time.monotonic) -> Iterator[Report]:
    """Show progress until the block is left.

    Args:
        label: what is being done.
        clock: seconds, monotonic.
    """
    if sys.stderr.isatty():
        with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

            def show(done: int, total: int) -> None:
                bar.length = max(total, 1)
                bar.update(done - bar.pos)

            yield show
        return
    last = clock()

    def say(done: int, total: int) -> None:
        nonlocal last
        if clock() - last >= EVERY:
            last = clock()
            click.echo(f"{label}: {done:,} of {total:,}", err=True)

    yield say
