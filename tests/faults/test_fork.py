"""A process that forks with a connection open, an event loop run, and threads that write.

Each scenario is a script in a process of its own: the test runner's threads do not come along.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers.running import PATIENCE, ROOT, integrity, stored_ids
from tk_analytics_mw.identifiers import new_event_id

PREAMBLE = """
import os, signal, subprocess, sys, threading
import anyio
from tests.servers.apps import analytics, asgi
from tests.servers.names import ORGANISATION, PLAIN_TYPE

FIELDS = {"org_id": ORGANISATION, "session_id": "session-1"}

def record(count):
    return [analytics.record(PLAIN_TYPE, **FIELDS).id for _ in range(count)]

def arecord(count):
    ids = []
    async def one():
        ids.append((await analytics.arecord(PLAIN_TYPE, **FIELDS)).id)
    async def all_of_them():
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(one)
    anyio.run(all_of_them, backend=backend)
    return ids

def say(ids):
    os.write(1, "".join(f"{id_}\\n" for id_ in ids).encode())

def fork(function):
    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(20)  # in case it waits for a lock that nobody is there to release
        try:
            say(function())
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child

def wait_for(children):
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "a child failed"
"""

USED_THEN_FORKED = """
say(write(5))
children = [fork(lambda: write(20)) for _ in range(4)]
say(write(20))
wait_for(children)
say(write(5))
"""

FORKED_WHILE_THREADS_WRITE = """
say(write(1))
stop = threading.Event()
written = [[] for _ in range(4)]
def go_on(ids):
    while not stop.is_set():
        ids.extend(record(1))
writers = [threading.Thread(target=go_on, args=(ids,), daemon=True) for ids in written]
for writer in writers:
    writer.start()
for _ in range(10):  # a lock may be held by a thread that is not there in the child
    wait_for([fork(lambda: write(3))])
stop.set()
for writer in writers:
    writer.join()
for ids in written:
    say(ids)
say(write(5))
"""

GENERATIONS = """
say(write(2))
def child():
    ids = write(2)
    wait_for([fork(lambda: write(2))])
    return ids + write(2)
wait_for([fork(child)])
say(write(2))
"""

CHILD_CLOSES = """
say(write(5))
def child():
    ids = write(5)
    analytics.close()
    return ids
wait_for([fork(child)])
wait_for([fork(lambda: (analytics.close(), write(5))[1])])
say(write(5))
"""

SCRIPTS = {
    "used_then_forked": USED_THEN_FORKED,
    "forked_while_threads_write": FORKED_WHILE_THREADS_WRITE,
    "generations": GENERATIONS,
    "the_child_closes": CHILD_CLOSES,
}
WRITE = {
    "record": "write, backend = record, None",
    "arecord_asyncio": "write, backend = arecord, 'asyncio'",
    "arecord_trio": "write, backend = arecord, 'trio'",
}


def run_script(database: Path, *parts: str) -> list[str]:
    """Run a script; give the ids that it and its children were given."""
    script = "\n".join([PREAMBLE, *map(textwrap.dedent, parts)])
    # A session of its own, so that no child is left over.
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "SHOP_DATABASE": str(database)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=PATIENCE / 2)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors
    assert "locked" not in errors, errors
    return output.split()


@pytest.mark.parametrize("write", WRITE)
@pytest.mark.parametrize("script", SCRIPTS)
def test_parent_and_children_store_what_they_acknowledge(tmp_path: Path, script: str, write: str) -> None:
    acknowledged = run_script(tmp_path / "analytics.db", WRITE[write], SCRIPTS[script])
    assert len(acknowledged) >= 10
    assert len(acknowledged) == len(set(acknowledged)), "parent and child made the same id"
    assert sorted(stored_ids(tmp_path / "analytics.db")) == sorted(acknowledged)
    assert integrity(tmp_path / "analytics.db") == "ok"


BEREAVED = """
say(write(3))
to_parent, to_child = os.pipe(), os.pipe()
def read_from_outside():
    # A backup, a report, an administrator: opens the file, reads, closes it.
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM events'); c.close()"
    subprocess.run([sys.executable, "-c", script, os.environ["SHOP_DATABASE"]], check=True)
def child():
    say(write(3))
    os.write(to_parent[1], b".")
    os.read(to_child[0], 1)
    read_from_outside()
    say(write(3))
    read_from_outside()
    return write(3)
"""
FORK_BEREAVED = """
started = fork(child)
os.read(to_parent[0], 1)
analytics.close()
os.write(to_child[1], b".")
wait_for([started])
"""


@pytest.mark.parametrize("used_before", [True, False], ids=["used_before", "not_used_before"])
def test_a_child_has_locks_of_its_own_on_the_file(tmp_path: Path, used_before: bool) -> None:
    """SQLite keeps the locks of a process by file, not by connection. After a fork the child's book says that
    it has those of its parent, which it has not. Once the parent closes, another process takes itself for the
    last one, and deletes the write-ahead log that the child goes on writing to.

    Negative control: without a connection in the parent nothing can go wrong.
    """
    before = "" if used_before else "write, first = (lambda count: []), write"
    after = "" if used_before else "write = first"
    acknowledged = run_script(tmp_path / "analytics.db", WRITE["record"], before, BEREAVED, after, FORK_BEREAVED)
    assert len(acknowledged) == (12 if used_before else 9)
    assert sorted(stored_ids(tmp_path / "analytics.db")) == sorted(acknowledged)


def test_threads_that_make_their_first_ids_together_all_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first use in a process, and the first after a fork: another thread may come in between.

    Negative control: with a source that takes its time to start, a thread that does not wait is seen.
    """

    class SlowStart(random.Random):
        def __init__(self) -> None:
            time.sleep(0.05)
            super().__init__()

    monkeypatch.setattr(random, "Random", SlowStart)
    made: list[str] = []
    for pid in (-1, -2):  # no process of ours, and a child of it
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        made += together()
    assert len({id_[-16:] for id_ in made}) == 8, "the random bits of one are those of another"


def together() -> list[str]:
    """The ids that four threads get that ask at the same moment."""
    start = threading.Barrier(4)

    def make(_: int) -> str:
        start.wait(PATIENCE)
        return new_event_id()[0]

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(make, range(4)))
