"""Looking over the SQLite file, its place, and SQLite itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from tk_analytics_mw.identifiers import time_of
from tk_analytics_mw.storage.examination import Finding
from tk_analytics_mw.storage.sqlite.connections import Connections
from tk_analytics_mw.storage.sqlite.files import WAL_RESET_FIXED, has_wal_reset_bug

LOW: Final = 1 << 30
FULL: Final = 100 << 20
"""Bytes free: few, and too few. A log under load takes some 22 MB, a purge or a backup more."""

LONG_LOG: Final = 200 << 20
"""Bytes of a write-ahead log that somebody must be holding."""

_BUILT: Final = datetime(2026, 11, 1, tzinfo=timezone.utc)  # no clock that is right shows less
_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "pvfs2", "smb3"}
    | {"smbfs", "virtiofs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)


def examine(connections: Connections) -> Iterator[Finding]:
    """See :class:`~tk_analytics_mw.storage.examination.ExaminedStorage`. A file that is not there is not made."""
    path = connections.path
    if has_wal_reset_bug():
        yield Finding(
            "warning",
            f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug: several processes may, very rarely, break a file",
            f"Use a Python that is linked with SQLite {WAL_RESET_FIXED} or later; until then run one process, or keep "
            "backups (tk-analytics backup).",
        )
    else:
        yield Finding("ok", f"SQLite {sqlite3.sqlite_version}")
    yield from _modes(path)
    yield _space(path.parent)
    yield _file_system(path.parent)
    yield _clock(connections)


def _modes(path: Path) -> Iterator[Finding]:
    if not os.access(path.parent, os.W_OK | os.X_OK):
        yield Finding(
            "error",
            f"this user may not write into {path.parent}",
            "SQLite puts its log beside the database: give the directory to the user of the application.",
        )
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        yield Finding("ok", f"{path} is not there yet: the first event makes it")
        return
    if mode & 0o077:
        yield Finding("warning", f"others may read or write {path} (mode {mode & 0o777:04o})", f"chmod 600 {path}")
    elif not os.access(path, os.R_OK | os.W_OK):
        yield Finding("error", f"this user may not write to {path}", "Run this as the user of the application.")
    else:
        yield Finding("ok", f"{path} is its user's alone")
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size > LONG_LOG:
        yield Finding(
            "warning",
            f"the write-ahead log has {log.stat().st_size >> 20} MB",
            "Something reads the database and does not end: find it with lsof, and end it.",
        )


def _space(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    if free < LOW:
        return Finding(
            "error" if free < FULL else "warning",
            f"{free >> 20} MB are free on the disk of {directory}",
            "Make room, or keep less (the setting retain_days): on a full disk every event gets 503.",
        )
    return Finding("ok", f"{free >> 30} GB are free on the disk")


def _file_system(directory: Path) -> Finding:
    kind = _kind_of(directory.resolve(), Path("/proc/self/mountinfo"))
    if kind in _NETWORK:
        return Finding(
            "error",
            f"{directory} is on a network file system ({kind})",
            "SQLite's locks and its log do not work there: put the database on a disk of this machine.",
        )
    return Finding("ok", f"the file system is local ({kind})" if kind else "the file system is not known here")


def _clock(connections: Connections) -> Finding:
    newest = None
    if connections.path.exists():
        with connections.reading() as snapshot:
            newest = snapshot.execute("SELECT max(id) FROM events").fetchone()[0]
    now = datetime.now(timezone.utc)
    if now < _BUILT or (newest is not None and time_of(newest) - now > timedelta(minutes=1)):
        last = "" if newest is None else f", the newest event has {time_of(newest):%Y-%m-%d %H:%M:%S}"
        return Finding(
            "error",
            f"the clock shows {now:%Y-%m-%d %H:%M:%S} UTC{last}",
            "Set it, and let NTP keep it: events get their time and their order from it.",
        )
    return Finding("ok", f"the clock shows {now:%Y-%m-%d %H:%M:%S} UTC")


def _kind_of(directory: Path, mounts: Path) -> str:
    """Which kind of file system a directory is on, by Linux's own list of them; ``""`` elsewhere."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    longest, kind = -1, ""
    for line in lines:
        head, _, tail = line.partition(" - ")
        mount_point = Path(head.split()[4].encode().decode("unicode_escape"))  # a blank is \040
        if len(mount_point.parts) >= longest and directory.is_relative_to(mount_point):
            longest, kind = len(mount_point.parts), tail.split()[0]
    return kind
