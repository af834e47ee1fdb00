"""A copy of the SQLite file while others write to it.

SQLite's own backup starts over whenever another process has written between two of its steps, so that under load it
never ends (66,263 steps in 5 s, and not done). Within a read transaction it sees one state and does not.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.storage.sqlite.connections import Connections

PAGES: Final = 2_000
"""Copied between two reports: 8 MB."""


def backup(connections: Connections, path: Path, report: Callable[[int, int], None]) -> None:
    """See :meth:`BackedUpStorage.backup <tk_analytics_mw.storage.backup.BackedUpStorage.backup>`.

    The log grows as long as it takes, for what is in it cannot be overwritten before.
    """
    part = path.with_name(f"{path.name}.part")
    if path.exists():
        raise FileExistsError(f"{path} is there already")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        with closing(sqlite3.connect(part)) as copy:
            with connections.reading(float("inf")) as snapshot:
                snapshot.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the snapshot is of now
                snapshot.backup(
                    copy, pages=PAGES, progress=lambda _, remaining, total: report(total - remaining, total)
                )
            # One file: it needs none beside it, and can be read where nothing can be written.
            copy.execute("PRAGMA journal_mode=DELETE")
            [found] = copy.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise StorageUnavailable(f"the copy is not sound: {found}")
        _sync(part)
        os.link(part, path)  # unlike rename() it does not replace what has come in the meantime
    except sqlite3.Error as error:
        raise StorageUnavailable(f"SQLite: {error} ({part})") from error
    finally:
        for file in (part, part.with_name(f"{part.name}-journal")):
            file.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    for what in (path, path.parent):
        descriptor = os.open(what, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
