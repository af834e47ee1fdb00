"""``make bench``: what events cost, as ratios between things measured in the same run.

Every figure is a median over rounds in which the compared servers take turns. Only what the same round measured is
compared, so that a machine that is busy for a while is busy for both.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tests.bench import inprocess, lists, load, made, reads
from tests.bench.door import Door
from tests.bench.payload import BATCH, MANY, ONE
from tests.databases.postgresql import PostgreSQL
from tests.serving import serving
from tk_analytics_mw.storage.migrations import MigratedStorage
from tk_analytics_mw.storage.urls import storage_from

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
START, END = "<!-- bench -->\n", "<!-- /bench -->"
CONNECTIONS = 64
BATCH_CONNECTIONS = 8
"""Who sends batches sends few at once: an import, a page that closes."""
WARM_UP = 4.0
"""Seconds. While SQLite's write-ahead log grows to its size, each commit waits for the file system as well."""

OLD = ("ours_keeping", "ours_retaining")
"""On a database with events of old, which the second one removes meanwhile."""
OLD_EVENTS = 400_000

UVICORN = ("uvicorn", "--workers", "1", "--no-access-log", "--log-level", "warning", "--port", "{port}")
GUNICORN = ("gunicorn", "--worker-class", "gthread", "--workers", "1", "--threads", "32", "--bind", "127.0.0.1:{port}")
FILE = "sqlite:///{folder}/{name}.db"


class Server(NamedTuple):
    """An application on a server."""

    command: tuple[str, ...]
    app: str
    """Module in :mod:`tests.bench.apps`, and name there."""
    storage: str = FILE


SERVERS = {
    "empty_asgi": Server(UVICORN, "empty:empty_asgi"),
    "ours_asgi": Server(UVICORN, "ours:ours_asgi"),
    "ours_durable": Server(UVICORN, "ours_durable:ours_durable"),
    "ours_postgresql": Server(UVICORN, "ours:ours_asgi", "{postgresql}"),
    "ours_clickhouse": Server(UVICORN, "ours:ours_asgi", "clickhouse+chdb:///{folder}/{name}"),
    "by_hand_asgi": Server(UVICORN, "by_hand_asgi:by_hand_asgi"),
    "ours_keeping": Server(UVICORN, "ours:ours_asgi"),
    "ours_retaining": Server(UVICORN, "ours:ours_retaining"),
    "empty_wsgi": Server(GUNICORN, "empty:empty_wsgi"),
    "ours_wsgi": Server(GUNICORN, "ours:ours_wsgi"),
    "by_hand_wsgi": Server(GUNICORN, "by_hand_wsgi:by_hand_wsgi"),
}


class Load(NamedTuple):
    """What is sent to a server, over how many connections."""

    server: str
    request: tuple[str, str]
    connections: int


LOADS = {
    **{name: Load(name, ONE, CONNECTIONS) for name in SERVERS},
    "ours_asgi_batch": Load("ours_asgi", MANY, BATCH_CONNECTIONS),
}


def core(number: int) -> list[str]:
    """Server and load on a core each, where there are two and ``taskset``."""
    if os.environ.get("NOPIN"):
        return []
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(number)] if taskset and (os.cpu_count() or 1) > 1 else []


@contextmanager
def start(server: Server, **where: str) -> Iterator[tuple[str, int]]:
    """Run a server. The tables of its storage are there already, as on every day but the first."""
    url = server.storage.format_map(where)
    if server.app.startswith("ours"):
        storage = storage_from(url, durability="full", commit_timeout=5.0)
        if isinstance(storage, MigratedStorage):
            list(storage.migrate())
        storage.write([])
        storage.close()
    with serving(
        *server.command,
        f"tests.bench.apps.{server.app}",
        folder=ROOT,
        environment={"BENCH_STORAGE": url},
        before=core(0),
    ) as address:
        yield address


def throughput(*names: str, rounds: int, seconds: float) -> dict[str, list[load.Answered]]:
    """How fast these loads are answered, round by round. No other server runs: engines work on in the background.

    Raises:
        RuntimeError: nothing was removed, so that it cannot have been slower.
    """
    answered: dict[str, list[load.Answered]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        where = {"folder": folder}
        if "ours_postgresql" in names:
            postgresql = PostgreSQL(durable=True)
            running.callback(postgresql.remove)
            where["postgresql"] = postgresql.fresh()
        old = [name for name in names if name in OLD]
        for name in old:
            made.fill(Path(folder, f"{name}.db"), events=OLD_EVENTS, sessions=OLD_EVENTS // 20)
        addresses = {
            server: running.enter_context(start(SERVERS[server], name=server, **where))
            for server in dict.fromkeys(LOADS[name].server for name in names)
        }

        def measure(name: str, duration: float) -> load.Answered:
            server, request, connections = LOADS[name]
            return load.send(addresses[server], request, connections=connections, seconds=duration, core=core(1))

        for name in names:
            measure(name, WARM_UP)
        for _ in range(rounds):
            for name, found in answered.items():
                found.append(measure(name, seconds))
        left = [old_events(Path(folder, f"{name}.db")) for name in old]
    for name, found in answered.items():
        print(f"{name:<16}", " ".join(f"{each.rate:9.0f}/s {each.p99:6.1f} ms" for each in found), file=sys.stderr)
    if old and not 0 < left[1] < left[0]:
        raise RuntimeError(f"events of old were not being removed all the time: {left} are left")
    return answered


def old_events(path: Path) -> int:
    """How many of the made ones there are."""
    with closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM events WHERE org_id != 'acme'").fetchone()[0]
        return count


def reading(rounds: int, url: str | None, events: int) -> list[tuple[str, float, str]]:
    """How long answers take: see :mod:`tests.bench.reads` and :mod:`tests.bench.lists`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Door(url or f"sqlite:///{folder}/made.db", events=events)) as door,
    ):
        return [*reads.measure(door, rounds=rounds), *lists.measure(door)]


def creating(rounds: int, seconds: float, rows: int) -> list[tuple[str, float, str]]:
    """What events cost."""
    taking_turns = partial(throughput, rounds=rounds, seconds=seconds)
    # First: it makes files all the time, and beside many deleted ones a file system without a journal is slow at that.
    clickhouse = taking_turns("ours_asgi", "ours_clickhouse")
    asgi = taking_turns("empty_asgi", "ours_asgi", "by_hand_asgi", "ours_asgi_batch", "ours_durable")
    wsgi = taking_turns("empty_wsgi", "ours_wsgi", "by_hand_wsgi")
    old = taking_turns(*OLD)
    postgresql = taking_turns("ours_asgi", "ours_postgresql")

    def ratio(answered: dict[str, list[load.Answered]], name: str, other: str, what: str = "rate") -> float:
        pairs = zip(answered[name], answered[other], strict=True)
        return statistics.median(getattr(one, what) / getattr(two, what) for one, two in pairs)

    cost = inprocess.pass_through(rounds)
    with tempfile.TemporaryDirectory() as folder:
        grown = inprocess.growth(Path(folder), rows, rounds)
        counted = inprocess.kept_counted(Path(folder), rounds)
        delivered, inserted = inprocess.deliveries(Path(folder), rounds)
    return [
        ("uvicorn, one event a request: ÷ an empty ASGI application", ratio(asgi, "ours_asgi", "empty_asgi"), "≥ 0.30"),
        ("the same ÷ a hand-written FastAPI endpoint with sqlite3", ratio(asgi, "ours_asgi", "by_hand_asgi"), "≥ 8"),
        (
            "gunicorn, 32 threads, one event a request: ÷ an empty WSGI application",
            ratio(wsgi, "ours_wsgi", "empty_wsgi"),
            "≥ 0.45",
        ),
        ("the same ÷ a hand-written Flask endpoint with sqlite3", ratio(wsgi, "ours_wsgi", "by_hand_wsgi"), "≥ 3"),
        (
            f"uvicorn, events/s in batches of {BATCH} ÷ one event a request",
            BATCH * ratio(asgi, "ours_asgi_batch", "ours_asgi"),
            "≥ 4",
        ),
        ("a request that is not ours, ASGI: µs more", cost["ASGI"], "≤ 1"),
        ("a request that is not ours, WSGI: µs more", cost["WSGI"], "≤ 1"),
        (f"insert rate at {rows:,} rows ÷ at 0 rows", grown, "≥ 0.8"),
        ("insert rate with what is kept counted for figures ÷ without", counted, "≥ 0.9"),
        (
            "uvicorn, one event a request, while old events are removed: p99 ÷ without",
            ratio(old, "ours_retaining", "ours_keeping", "p99"),
            "≤ 2",
        ),
        (
            "uvicorn, one event a request, with a durable hook for each: ÷ without",
            ratio(asgi, "ours_durable", "ours_asgi"),
            "≥ 0.75",
        ),
        (
            "uvicorn, one event a request, in ClickHouse's engine in process: ÷ in SQLite",
            ratio(clickhouse, "ours_clickhouse", "ours_asgi"),
            "≥ 0.3",
        ),
        (
            "uvicorn, one event a request, with PostgreSQL on the same machine: ÷ with SQLite",
            ratio(postgresql, "ours_postgresql", "ours_asgi"),
            "≥ 0.5",
        ),
        ("deliveries/s of an empty durable function, one deliverer", delivered, "≥ 2000"),
        ("the same ÷ events/s of bare inserts, 100 a commit", delivered / inserted, ""),
    ]


def table(lines: list[tuple[str, float, str]], rounds: int, seconds: float) -> str:
    """The figures as Markdown."""
    measured = [f"| {what} | {value:,.2f} | {reach} |" for what, value, reach in lines]
    return "\n".join(["| figure | measured | aim |", "|---|---|---|", *measured, "", about(rounds, seconds)])


def about(rounds: int, seconds: float) -> str:
    """Say what it was measured on, and with what."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "gunicorn", "fastapi", "flask"))
    pinned = "server and load on a core each, " if core(0) else ""
    return (
        f"Python {platform.python_version()} on {platform.system()}, {os.cpu_count()} cores ({platform.machine()}), "
        f"{packages}, SQLite {sqlite3.sqlite_version} with `synchronous=FULL`; {load.version()}, {CONNECTIONS} "
        f"connections, {pinned}medians over {rounds} interleaved rounds of {seconds:g} s."
    )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Throughput, as ratios.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rows", type=int, default=2_000_000, help="in the table that has grown")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md as well")
    parser.add_argument("--reads", action="store_true", help="only how long answers take")
    parser.add_argument("--made", metavar="URL", help="storage of the made data: tests.bench.door says which")
    parser.add_argument("--events", type=int, default=made.EVENTS, help="of the made data")
    options = parser.parse_args()
    lines = [] if options.reads else creating(options.rounds, options.seconds, options.rows)
    lines += reading(options.rounds, options.made, options.events)
    text = table(lines, options.rounds, options.seconds)
    print(text)
    if options.readme:
        before, _, rest = README.read_text().partition(START)
        README.write_text(f"{before}{START}{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
