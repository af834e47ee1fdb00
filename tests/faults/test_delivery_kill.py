"""``kill -9`` of servers and deliverers under load: each acknowledged event reaches its durable hook."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.disk import folder_on_disk  # noqa: F401 - tmp_path
from tests.servers.running import (
    GUNICORN_PRELOAD,
    GUNICORN_THREADS,
    PATIENCE,
    ROOT,
    UVICORN_H11,
    UVICORN_WORKERS,
    Kind,
    Load,
    Server,
    running,
    wait_until,
)
from tk_analytics_mw.storage.outbox import Counts
from tk_analytics_mw.storage.sqlite import SqliteStorage

ROUNDS = 20
CONTROL_ROUNDS = 6
LEASE = "1"  # second


def logging_calls(kind: Kind, log: Path, when: str) -> Kind:
    """A server whose hook logs its calls."""
    return replace(kind, environment={**kind.environment, "SHOP_CALL_LOG": str(log), "SHOP_CALL_KIND": when})


@contextmanager
def deliverer(directory: Path, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """``tk-analytics deliver`` in a process of its own, killed in the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "tk_analytics_mw", "deliver", "--lease", LEASE, *options],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("SHOP_")},
            "TK_ANALYTICS_APP": "tests.servers.apps:analytics",
            "SHOP_DATABASE": str(directory / "analytics.db"),
            "SHOP_CALL_LOG": str(log),
            "SHOP_CALL_KIND": "durable",
        },
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def counts(directory: Path) -> Counts:
    storage = SqliteStorage(directory / "analytics.db")
    try:
        return storage.outbox.counts().get("log", Counts())
    finally:
        storage.close()


def finish(directory: Path, log: Path) -> None:
    """Deliver what is left, leases of the dead included."""
    with deliverer(directory, log):
        left = counts(directory).pending
        while left:
            wait_until(lambda left=left: counts(directory).pending < left, f"one of {left} is delivered")
            left = counts(directory).pending


def called(log: Path, what: str = "ended") -> Counter[str]:
    """How often the hook was called for each event."""
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return Counter(line[1] for line in lines if line[0] == what)


def acknowledged_over_rounds(rounds: int, directory: Path, log: Path, when: str, deliverers: int) -> set[str]:
    """Kill servers and deliverers under load again and again, always with the same file. WSGI and ASGI take turns."""
    acknowledged: set[str] = set()
    for number in range(rounds):
        kind = (GUNICORN_THREADS, UVICORN_H11)[number % 2]
        server = Server(logging_calls(kind, log, when), directory)
        with ExitStack() as stack, Load(server, clients=4) as load:
            processes = [stack.enter_context(deliverer(directory, log)) for _ in range(deliverers)]
            before = sum(called(log).values())
            load.wait_for(20 + 5 * number)
            if deliverers:
                wait_until(lambda before=before: sum(called(log).values()) > before, "a delivery")
            time.sleep(random.random() * 0.05)  # anywhere between a commit and a settled delivery
            kills = [server.kill, *(process.kill for process in processes)]
            random.shuffle(kills)
            for kill in kills:
                kill()
        acknowledged.update(load.acknowledged)
    return acknowledged


@pytest.mark.timeout(600)  # on a busy machine many wait in the end
def test_killed_servers_and_deliverers_lose_no_delivery(tmp_path: Path) -> None:
    log = tmp_path / "calls.log"
    acknowledged = acknowledged_over_rounds(ROUNDS, tmp_path, log, "durable", deliverers=2)
    finish(tmp_path, log)
    found = called(log)
    print(f"{len(acknowledged)} acknowledged, {sum(found.values()) - len(found)} delivered more than once")
    assert len(acknowledged) >= 20 * ROUNDS
    assert acknowledged - found.keys() == set()
    assert counts(tmp_path).dead == 0


def test_a_hook_that_is_called_after_the_answer_is_lost_now_and_then(tmp_path: Path) -> None:
    """Negative control: the same rounds with an *after* hook must show a loss."""
    log = tmp_path / "calls.log"
    acknowledged = acknowledged_over_rounds(CONTROL_ROUNDS, tmp_path, log, "after", deliverers=0)
    missing = acknowledged - called(log).keys()
    assert 0 < len(missing) < len(acknowledged)


def assert_no_call_overlaps_itself(log: Path) -> None:
    calls: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for line in log.read_text().splitlines():
        what, id_, _pid, at = line.split()
        calls[id_].append((int(at), what))
    for id_, steps in calls.items():
        assert [what for _, what in sorted(steps)] == ["began", "ended"] * (len(steps) // 2), id_


def test_several_deliverers_share_the_work_and_no_delivery_overlaps_itself(tmp_path: Path) -> None:
    log = tmp_path / "calls.log"
    with running(logging_calls(GUNICORN_THREADS, log, "durable"), tmp_path) as server, ExitStack() as stack:
        processes = [stack.enter_context(deliverer(tmp_path, log)) for _ in range(3)]
        with Load(server) as load:
            load.wait_for(1000)
        wait_until(lambda: called(log).keys() >= {*load.acknowledged}, "everything is delivered")
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(PATIENCE) for process in processes] == [0, 0, 0], "SIGTERM is a clean end"
    assert_no_call_overlaps_itself(log)
    assert set(called(log).values()) == {1}
    assert len({line.split()[2] for line in log.read_text().splitlines()}) == 3, "each took its share"


def test_what_a_dead_deliverer_held_is_taken_over(tmp_path: Path) -> None:
    log = tmp_path / "calls.log"
    with running(logging_calls(GUNICORN_THREADS, log, "durable"), tmp_path) as server:
        with Load(server) as load:
            load.wait_for(500)
        with deliverer(tmp_path, log) as first:
            wait_until(lambda: called(log, "began"), "it has begun")
            first.kill()
        left = {*load.acknowledged} - called(log).keys()
        assert left
        finish(tmp_path, log)
    assert called(log).keys() == {*load.acknowledged}


@pytest.mark.parametrize("kind", [GUNICORN_PRELOAD, GUNICORN_THREADS, UVICORN_WORKERS], ids=lambda kind: kind.name)
def test_small_sites_deliver_in_their_server_processes(tmp_path: Path, kind: Kind) -> None:
    """Several workers, forked before or after the application was imported and had begun to deliver."""
    log = tmp_path / "calls.log"
    with running(logging_calls(kind, log, "durable"), tmp_path, deliver_in_process=True) as server:
        with Load(server) as load:
            load.wait_for(300)
        wait_until(lambda: called(log).keys() >= {*load.acknowledged}, "everything is delivered")
        started = time.monotonic()
        assert server.terminate() in (0, -signal.SIGTERM)
        assert time.monotonic() - started < 10
    assert_no_call_overlaps_itself(log)
    assert set(called(log).values()) == {1}
