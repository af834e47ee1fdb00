"""``kill -9`` under load: what was acknowledged is on disk.

It shows what a killed process loses, not what a power cut does: the page cache outlives a process.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.disk import folder_on_disk  # noqa: F401 - tmp_path
from tests.servers.running import GUNICORN_THREADS, UVICORN_H11, Kind, Load, Server, integrity

ROUNDS = 10
EARLY = "tests.faults.early:AcknowledgesEarly"


def lost_over_rounds(kind: Kind, directory: Path, **options: Any) -> Iterator[tuple[int, int]]:
    """Kill a server under load again and again, always with the same file.

    Yields:
        After each round how many events were acknowledged so far, and how many of them are not stored.
    """
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        server = Server(kind, directory, **options)
        with Load(server) as load:
            load.wait_for(20 + 10 * number)
            time.sleep(random.random() * 0.02)  # anywhere within a commit
            server.kill()
        assert load.broken, "the clients were still sending"
        acknowledged.update(load.acknowledged)
        assert integrity(server.database) == "ok"
        yield len(acknowledged), len(acknowledged - set(server.stored()))


@pytest.mark.parametrize("kind", [GUNICORN_THREADS, UVICORN_H11], ids=lambda kind: kind.name)
def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path, kind: Kind) -> None:
    [*_, (acknowledged, lost)] = lost_over_rounds(kind, tmp_path)
    assert lost == 0
    assert acknowledged >= 20 * ROUNDS


@pytest.mark.parametrize("kind", [GUNICORN_THREADS, UVICORN_H11], ids=lambda kind: kind.name)
def test_a_storage_that_acknowledges_before_it_writes_is_found_out(tmp_path: Path, kind: Kind) -> None:
    """Negative control: the same rounds with acknowledgements that come too early must show a loss, one of them."""
    assert any(0 < lost < acknowledged for acknowledged, lost in lost_over_rounds(kind, tmp_path, storage=EARLY))
