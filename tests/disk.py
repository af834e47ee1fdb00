"""Where tests keep files: in memory if there is room, for they make and remove thousands; on a disk if that matters."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

MEMORY: Final = Path("/dev/shm")

ROOM: Final = 2 * 2**30
"""Bytes that are free there: all of the tests take a fraction of it."""


def use_memory() -> None:
    """Let pytest's ``tmp_path`` be in memory, unless somebody said where it is to be."""
    try:
        room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    except OSError:
        room = False
    if room and "TMPDIR" not in os.environ:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(name="tmp_path")
def folder_on_disk() -> Iterator[Path]:
    """A folder on a disk: for tests of what happens while a commit waits for it. Import it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()
