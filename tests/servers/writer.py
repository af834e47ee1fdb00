"""A process that records events from several threads and prints the ids it was given.

``python -m tests.servers.writer THREADS EVENTS``, with the database in ``SHOP_DATABASE``.
"""

from __future__ import annotations

import sys
import threading

from tests.servers.apps import analytics
from tests.servers.names import ORGANISATION, PLAIN_TYPE


def main() -> None:
    """Start when the other end says so, so that all processes write at the same time."""
    threads, events = map(int, sys.argv[1:])
    ids: list[str] = []
    together = threading.Barrier(threads)

    def write() -> None:
        together.wait()
        for _ in range(events):
            ids.append(analytics.record(PLAIN_TYPE, org_id=ORGANISATION, session_id="session-1").id)

    started = [threading.Thread(target=write) for _ in range(threads)]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    print("\n".join(ids), flush=True)


if __name__ == "__main__":
    main()
