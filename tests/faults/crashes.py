"""Clients and a server whose database crashes under them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.servers.running import Kind, Load, running, wait_until


def load_through(
    storage: str,
    crash: Callable[[], None],
    start: Callable[[], None],
    directory: Path,
    *,
    rounds: int,
    kind: Kind,
    **options: str,
) -> Load:
    """Have a database server crash under load again and again, always with the same application server."""
    with running(kind, directory, storage=storage, **options) as server, Load(server) as load:
        for _ in range(rounds):
            load.wait_for(len(load.acknowledged) + 50)
            crash()
            refused = load.statuses[503]
            wait_for_refusals(load, refused)
            start()
        load.wait_for(len(load.acknowledged) + 50)
    return load


def wait_for_refusals(load: Load, before: int) -> None:
    """Wait until clients have been told that the database is away."""
    wait_until(lambda: load.statuses[503] > before, "the clients are told that nothing is stored")
