"""The promises over real servers: what was acknowledged is on disk, once, whoever served it."""

from __future__ import annotations

import json
import os
import select
import socket
import sqlite3
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError  # the builtin one since Python 3.11
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.disk import folder_on_disk  # noqa: F401 - tmp_path
from tests.servers.names import AFTER_TYPE, EVENTS, INLINE_TYPE, SLOW
from tests.servers.running import (
    AS_SERVER,
    BATCH_SIZE,
    GUNICORN_SYNC,
    GUNICORN_THREADS,
    HYPERCORN_TRIO,
    KINDS,
    PATIENCE,
    ROOT,
    UVICORN_H11,
    UVICORN_WORKERS,
    Kind,
    Load,
    Server,
    an_event,
    integrity,
    running,
    stored_ids,
    wait_until,
)

BODY_LIMIT = 65_536


class Started:
    """A server of one kind for several tests; the next test gets a new one if a test has ended it."""

    def __init__(self, kind: Kind, make_directory: Callable[[], Path]) -> None:
        self._kind = kind
        self._make_directory = make_directory
        self._servers: list[Server] = []

    def get(self) -> Server:
        if not self._servers or not self._servers[-1].is_running:
            self._servers.append(Server(self._kind, self._make_directory()))
        return self._servers[-1]

    def stop(self) -> None:
        for server in self._servers:
            if server.is_running:
                server.terminate()


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    made = Started(request.param, lambda: tmp_path_factory.mktemp(request.param.name))
    yield made
    made.stop()


@pytest.fixture
def server(started: Started) -> Server:
    """A server of each kind."""
    return started.get()


def rows(server: Server, columns: str, where: str) -> list[Any]:
    with closing(sqlite3.connect(server.database, timeout=PATIENCE)) as connection:
        return connection.execute(f"SELECT {columns} FROM events WHERE {where}").fetchall()


def test_what_is_acknowledged_is_what_is_stored(server: Server) -> None:
    before = set(server.stored())
    with Load(server) as load:
        load.wait_for(400)
    assert set(load.statuses) == {200}, server.log
    assert load.broken == 0 or server.kind is GUNICORN_SYNC, "only the sync worker closes connections"
    assert len(load.acknowledged) == len(set(load.acknowledged))
    assert set(server.stored()) - before == set(load.acknowledged)
    assert "locked" not in server.log
    assert "Traceback" not in server.log
    # Negative control: the account is of single events and of batches, and one row more would be seen.
    assert load.statuses[200] < len(load.acknowledged) < load.statuses[200] * BATCH_SIZE
    assert set(server.stored()) - before != set(load.acknowledged[1:])


def test_nobody_else_may_read_the_files(server: Server) -> None:
    assert server.post().status == 200
    files = [server.database.with_name(server.database.name + suffix) for suffix in ("", "-wal", "-shm")]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3


def test_the_hosts_page_is_still_the_hosts(server: Server) -> None:
    answer = server.request("GET", "/cart")
    assert (answer.status, answer.body) == (200, b"host: /cart")


def test_one_idempotency_key_is_one_event_across_workers(server: Server) -> None:
    clients = 8
    together = threading.Barrier(clients)

    def create(number: int) -> str:
        together.wait(PATIENCE)
        answer = server.post(an_event(userId=f"user-{number}"), headers={"Idempotency-Key": "order-4711"})
        assert answer.status == 200, answer
        return str(answer.json["id"])

    with ThreadPoolExecutor(clients) as pool:
        ids = set(pool.map(create, range(clients)))
        # Negative control: without the key they are as many events as requests.
        others = {
            answer.json["id"] for answer in pool.map(lambda _: server.post(an_event(userId="nokey")), range(clients))
        }
    assert rows(server, "id", "idempotency_key = 'order-4711'") == [(id_,) for id_ in ids]
    assert len(others) == clients


class Wire:
    """A connection whose every byte is the test's."""

    def __init__(self, server: Server, head: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        lines = [f"POST {EVENTS} HTTP/1.1", "Host: shop.test", f"Authorization: {AS_SERVER['Authorization']}", head]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def answers(self, within: float) -> bool:
        """Whether something comes back in that time."""
        return bool(select.select([self.socket], [], [], within)[0])

    def status(self) -> int:
        """The status of the answer."""
        with self.socket.makefile("rb") as file:
            return int(file.readline().split()[1])

    def send_chunk(self, chunk: bytes) -> None:
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    def close(self) -> None:
        self.socket.close()


CHUNKED = "Transfer-Encoding: chunked"
BODY = json.dumps(an_event(userId="wire")).encode()


def test_a_chunked_body_is_read_to_its_end(server: Server) -> None:
    before = len(server.stored())
    with closing(Wire(server, CHUNKED)) as wire:
        for start in range(0, len(BODY), 10):
            wire.send_chunk(BODY[start : start + 10])
        assert not wire.answers(0.05), "an answer before the end of the body"
        wire.send_chunk(b"")
        assert wire.status() == 200
    assert len(server.stored()) == before + 1


def test_an_endless_chunked_body_is_cut(server: Server) -> None:
    before = len(server.stored())
    with closing(Wire(server, CHUNKED)) as wire:
        sent = 0
        with suppress(ConnectionError):  # the server may close while we still send
            while not wire.answers(0.002):
                wire.send_chunk(b" " * 8192)
                sent += 8192
                assert sent < 500 * BODY_LIMIT, "it reads without an end"
        assert wire.status() == 413
    assert sent > BODY_LIMIT
    assert len(server.stored()) == before
    assert server.post().status == 200


def test_a_body_over_the_limit_is_refused(server: Server) -> None:
    before = len(server.stored())
    # Negative control: one that is just below the limit is not.
    for size, status in ((BODY_LIMIT - 1000, 200), (BODY_LIMIT + 1, 413)):
        assert server.post(an_event(eventMetadata={"text": "x" * size})).status == status
    assert len(server.stored()) == before + 1


@pytest.mark.parametrize("head", [CHUNKED, f"Content-Length: {len(BODY) + 10}"], ids=["chunked", "length"])
def test_a_client_that_leaves_within_the_body_stores_nothing(server: Server, head: str) -> None:
    """What it sent would be an event: only the missing end says that it is not."""
    assert server.post().status == 200
    before = len(server.stored())
    for abrupt in (False, True):
        wire = Wire(server, head)
        if head == CHUNKED:
            wire.send_chunk(BODY)
        else:
            wire.socket.sendall(BODY)
        assert not wire.answers(0.05)
        if abrupt:  # a reset instead of an orderly end
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
    # As many requests as there are workers and more: each of them must have got over it.
    assert [server.post().status for _ in range(8)] == [200] * 8
    assert len(server.stored()) == before + 8


class Lock:
    """Another process's transaction on the database."""

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(database, isolation_level=None, timeout=PATIENCE, check_same_thread=False)
        self._connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._connection.rollback()
        self._connection.close()


def test_a_short_lock_of_another_process_is_waited_for(server: Server) -> None:
    assert server.post().status == 200
    before = len(server.stored())
    lock = Lock(server.database)
    with ThreadPoolExecutor(1) as pool:
        try:
            waiting = pool.submit(server.post)
            with pytest.raises(FutureTimeoutError):
                waiting.result(0.2)
            assert len(server.stored()) == before
        finally:
            lock.release()
        assert waiting.result(PATIENCE).status == 200
    assert len(server.stored()) == before + 1


def test_a_client_that_leaves_while_its_commit_waits_takes_nobody_with_it(server: Server) -> None:
    assert server.post().status == 200
    lock = Lock(server.database)
    with ThreadPoolExecutor(4) as pool:
        try:
            leaving = []
            for number in range(2):
                body = json.dumps(an_event(userId=f"leaves-{number}")).encode()
                leaving.append(Wire(server, f"Content-Length: {len(body)}"))
                leaving[-1].socket.sendall(body)
            # The sync worker serves one at a time: its others wait in the listen queue.
            staying = [pool.submit(server.post, an_event(userId="stays")) for _ in range(2)]
            assert not any(wire.answers(0.1) for wire in leaving)
            for wire in leaving:
                wire.close()
            more = [pool.submit(server.post, an_event(userId="stays")) for _ in range(2)]
            assert not any(request.done() for request in staying)
        finally:
            lock.release()
        answers = [request.result(PATIENCE) for request in (*staying, *more)]
    assert [answer.status for answer in answers] == [200] * 4
    assert {row[0] for row in rows(server, "id", "user_id = 'stays'")} == {answer.json["id"] for answer in answers}
    # Those who left may be stored or not, but whole and once.
    left = rows(server, "user_id", "user_id LIKE 'leaves-%'")
    assert len(left) == len(set(left))
    assert server.post().status == 200


def test_a_server_that_is_asked_to_end_keeps_everything_that_it_acknowledged(server: Server) -> None:
    with Load(server) as load:
        load.wait_for(100)
        before = len(load.acknowledged)
        server.terminate()
    assert set(load.acknowledged) <= set(server.stored())
    assert set(load.statuses) == {200}, server.log
    assert load.broken, "the server ended while the clients still sent"
    assert before >= 100
    assert integrity(server.database) == "ok"
    assert "locked" not in server.log


@pytest.mark.parametrize("kind", [GUNICORN_THREADS, UVICORN_H11, HYPERCORN_TRIO], ids=lambda kind: kind.name)
def test_a_lock_longer_than_the_commit_timeout_is_503_until_it_ends(tmp_path: Path, kind: Kind) -> None:
    with running(kind, tmp_path, commit_timeout=0.5) as server:
        assert server.post().status == 200
        lock = Lock(server.database)
        try:
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _: server.post(), range(4)))
        finally:
            lock.release()
        assert [answer.status for answer in answers] == [503] * 4
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
        assert len(server.stored()) == 1
        assert server.post().status == 200
        assert len(server.stored()) == 2


@pytest.mark.parametrize(
    "kind", [GUNICORN_SYNC, GUNICORN_THREADS, UVICORN_WORKERS, HYPERCORN_TRIO], ids=lambda kind: kind.name
)
def test_a_slow_hook_after_the_answer_does_not_delay_it(tmp_path: Path, kind: Kind) -> None:
    with running(kind, tmp_path) as server:
        assert server.post().status == 200  # opens the database

        def create(event_type: str) -> tuple[str, float, str]:
            start = time.monotonic()
            answer = server.post(an_event(eventType=event_type))
            took = time.monotonic() - start
            assert answer.status == 200
            return answer.json["id"], took, server.finished_hooks()

        id_, took, finished = create(AFTER_TYPE)
        assert id_ not in finished, "the answer came after the hook"
        if kind is not GUNICORN_SYNC:  # its one thread is the hook's for that long, and a second request may get it
            assert took < SLOW / 2
            more = [create(AFTER_TYPE) for _ in range(3)]
            assert min(took for _, took, _ in more) < SLOW / 2
            assert all(id_ not in finished for id_, _, finished in more)
        wait_until(lambda: id_ in server.finished_hooks(), "the hook ran")
        # Negative control: the same hook before the answer is seen, by its time and by its trace.
        id_, took, finished = create(INLINE_TYPE)
        assert took >= SLOW
        assert id_ in finished


def test_several_processes_and_threads_write_one_file(tmp_path: Path) -> None:
    database = tmp_path / "analytics.db"
    processes, threads, events = 4, 4, 40
    environment = {**os.environ, "SHOP_DATABASE": str(database)}
    command = [sys.executable, "-m", "tests.servers.writer", str(threads), str(events)]
    writers = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(processes)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:  # all are there: none has finished before another starts
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        ended = [writer.communicate(timeout=PATIENCE) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    for output, errors in ended:
        assert len(output.split()) == threads * events, errors
        assert "locked" not in errors
        assert "Traceback" not in errors
    acknowledged = [id_ for output, _ in ended for id_ in output.split()]
    assert sorted(stored_ids(database)) == sorted(acknowledged)
    assert integrity(database) == "ok"
