"""Database servers refuse to run as root: a folder, and a user, for one that a test of root's starts."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

NOBODY = "nobody"
MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30  # bytes


def own_folder(prefix: str, *, on_disk: bool = False) -> Path:
    """A folder for a server's data. pytest's own are closed to other users."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if not on_disk and _is_roomy(MEMORY) else None))
    if os.geteuid() == 0:
        shutil.chown(folder, NOBODY)
    return folder


def _is_roomy(folder: Path) -> bool:
    """A server that ends with the tests need not have its data on a disk: there it takes seconds to remove them."""
    return folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > ROOM


def as_somebody() -> dict[str, Any]:
    """Arguments of :mod:`subprocess`: run it as a user without privileges."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam(NOBODY)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def reachable(programs: Path, folder: Path) -> Path:
    """Programs where that user can get at them: copied, should they lie below somebody's home."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    return Path(shutil.copytree(programs, folder / "programs", symlinks=True))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
