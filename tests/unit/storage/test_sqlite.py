"""The SQLite storage by itself: what is in its file, and what happens when a file or a batch is not as it should be."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.unit.making import ROOT, an_event, run_script
from tk_analytics_mw.errors import ConfigurationError, StorageUnavailable
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.testing.storages import COMPLETE

Make = Callable[..., SqliteStorage]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "analytics.db"


@pytest.fixture
def make(path: Path) -> Iterator[Make]:
    """Make storages on one file. They are closed in the end."""
    made = []

    def build(where: Path = path, **options: Any) -> SqliteStorage:
        made.append(SqliteStorage(where, **options))
        return made[-1]

    yield build
    for storage in made:
        storage.close()


@pytest.fixture
def storage(make: Make) -> SqliteStorage:
    return make()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Every connection that is opened from now on."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def note(*args: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", note)
    return opened


def rows(path: Path, query: str = "SELECT * FROM events ORDER BY position") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def ids(path: Path) -> list[str]:
    assert rows(path, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    return [row["id"] for row in rows(path)]


def some(count: int, start: int = 0) -> list[Event]:
    return [an_event(f"e-{number:04}", metric=number) for number in range(start, start + count)]


def test_every_field_of_an_event_has_a_column_and_is_in_it(storage: SqliteStorage, path: Path) -> None:
    complete, bare = an_event("e-1", **COMPLETE), an_event("e-2")
    storage.write([complete, bare])
    kept, empty = rows(path)
    assert list(kept) == [row["name"] for row in rows(path, "PRAGMA table_info(events)")]
    assert [kept.pop("position"), empty.pop("position")] == [1, 2]
    assert {*kept} == {*Event.model_fields}
    expected = {**complete.model_dump(), "created_at": "2026-11-23T12:00:00.001Z"}
    assert {**kept, **{name: json.loads(kept[name]) for name in ("event_metadata", "configuration")}} == expected
    assert empty == {**bare.model_dump(), "created_at": "2026-11-23T12:00:00.001Z"}


def test_sqlites_own_json_functions_read_metadata(storage: SqliteStorage, path: Path) -> None:
    storage.write([an_event(event_metadata={"order": {"lines": [{"sku": "chair"}]}})])
    query = "SELECT event_metadata ->> '$.order.lines[0].sku' AS sku FROM events"
    if sqlite3.sqlite_version_info < (3, 38):
        query = query.replace("event_metadata ->> ", "json_extract(event_metadata, ").replace(" AS sku", ") AS sku")
    assert rows(path, query) == [{"sku": "chair"}]


@pytest.fixture
def _everything_is_allowed() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_everything_is_allowed")
def test_the_files_are_their_owners_alone(storage: SqliteStorage, path: Path) -> None:
    storage.write(some(1))
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["analytics.db", "analytics.db-shm", "analytics.db-wal"]
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 3


def test_the_mode_that_an_administrator_gave_the_file_stays(storage: SqliteStorage, path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    storage.write(some(1))
    assert oct(path.stat().st_mode & 0o777) == "0o640"


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("relaxed", 1)])
def test_durability_is_sqlites_synchronous(
    make: Make, path: Path, connections: list[sqlite3.Connection], durability: str, synchronous: int
) -> None:
    make(durability=durability).write(some(1))
    [own] = connections
    assert own.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    assert rows(path, "PRAGMA journal_mode") == [{"journal_mode": "wal"}]


def test_a_connection_is_kept_from_write_to_write(
    storage: SqliteStorage, connections: list[sqlite3.Connection]
) -> None:
    for number in range(5):
        storage.write(some(1, start=number))
    assert len(connections) == 1


def test_opening_a_file_again_changes_nothing_in_it(make: Make, path: Path) -> None:
    first, second = make(), make()
    for number, storage in enumerate([first, second, first, make(), second]):
        storage.write(some(1, start=number))
    assert ids(path) == [f"e-{number:04}" for number in range(5)]
    applied = rows(path, "SELECT name FROM _sqlite_migrations")
    assert applied == rows(path, "SELECT DISTINCT name FROM _sqlite_migrations")


def test_a_file_of_a_later_version_can_still_be_written(make: Make, path: Path) -> None:
    """A deployment that is rolled back: the table has a column more."""
    make().write(some(1))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE events ADD COLUMN campaign TEXT")
    make().write(some(1, start=1))
    assert ids(path) == ["e-0000", "e-0001"]


def test_a_write_after_close_opens_again(storage: SqliteStorage, path: Path) -> None:
    storage.close()
    assert not path.exists(), "closing what was never used makes no file"
    for number in range(3):
        storage.write(some(1, start=number))
        storage.close()
        storage.close()
        assert [file.name for file in path.parent.iterdir()] == ["analytics.db"]  # a whole file, to be copied
    assert ids(path) == ["e-0000", "e-0001", "e-0002"]


def test_a_storage_that_is_forgotten_lets_go_of_its_file(path: Path) -> None:
    """A host's tests make many applications; an unclosed database would be a warning, and here an error."""
    storage = SqliteStorage(path)
    storage.write(some(1))
    del storage
    gc.collect()
    held = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(OSError):
            held.add(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
    assert not [name for name in held if name.startswith(str(path))]


def remove(path: Path) -> None:
    path.unlink()


def remove_all(path: Path) -> None:
    for file in path.parent.glob("analytics.db*"):
        file.unlink()


def move_away(path: Path) -> None:
    path.rename(path.with_name("2026-10.sqlite"))


def replace_by_a_copy(path: Path) -> None:
    copy = path.with_name("copy.sqlite")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    copy.replace(path)


def replace_by_another(path: Path) -> None:
    """As a backup is put back. What was not in it yet, the write-ahead log above all, has no place in it."""
    other = path.with_name("other.sqlite")
    storage = SqliteStorage(other)
    storage.write(some(300, start=1000))
    storage.close()
    other.replace(path)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (remove, []),
        (remove_all, []),
        (move_away, []),
        (replace_by_a_copy, ["e-0000"]),
        (replace_by_another, [event.id for event in some(300, start=1000)]),
    ],
)
def test_after_the_file_was_exchanged_events_are_written_where_its_name_leads(
    storage: SqliteStorage, path: Path, change: Callable[[Path], None], left: list[str]
) -> None:
    storage.write(some(1))
    change(path)
    storage.write(some(1, start=1))
    storage.write(some(1, start=2))
    assert ids(path) == [*left, "e-0001", "e-0002"]
    if change is move_away:  # not an acknowledged event is lost: those before are where the file is now
        assert ids(path.with_name("2026-10.sqlite")) == ["e-0000"]


WORKER = """
import sys
from tests.unit.making import an_event
from tk_analytics_mw.storage.sqlite import SqliteStorage
storage = SqliteStorage(sys.argv[1])
for line in sys.stdin:
    storage.write([an_event(line.strip())])
    print("stored", flush=True)
"""


@pytest.fixture
def worker(path: Path) -> Iterator[Callable[[str], None]]:
    """A process of its own that writes an event of this id to the file."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def write(id_: str) -> None:
            process.stdin.write(f"{id_}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "stored\n"

        yield write
        process.stdin.close()


@pytest.mark.parametrize("change", [remove, remove_all, move_away, replace_by_another])
@pytest.mark.parametrize("notices_first", ["we", "the worker"])
def test_every_process_notices_that_the_file_was_exchanged_and_takes_nothing_from_the_others(
    storage: SqliteStorage,
    worker: Callable[[str], None],
    path: Path,
    change: Callable[[Path], None],
    notices_first: str,
) -> None:
    def ourselves(id_: str) -> None:
        storage.write([an_event(id_)])

    ourselves("e-0000")
    worker("e-0001")
    change(path)
    writers = [ourselves, worker] if notices_first == "we" else [worker, ourselves]
    after = ["e-0002", "e-0003", "e-0004", "e-0005"]
    for id_, write in zip(after, writers * 2, strict=True):
        write(id_)
    others = [event.id for event in some(300, start=1000)] if change is replace_by_another else []
    assert ids(path) == [*others, *after]
    if change is move_away:
        assert ids(path.with_name("2026-10.sqlite")) == ["e-0000", "e-0001"]


def test_a_directory_that_goes_and_comes_back_is_a_storage_that_is_away(make: Make, tmp_path: Path) -> None:
    directory = tmp_path / "mounted"
    directory.mkdir()
    storage = make(directory / "analytics.db", busy_timeout=0.05)
    storage.write(some(1))
    shutil.rmtree(directory)
    with pytest.raises(StorageUnavailable):
        storage.write(some(1, start=1))
    directory.mkdir()
    storage.write(some(1, start=2))
    assert ids(directory / "analytics.db") == ["e-0002"]


def test_a_file_that_is_no_database_is_not_touched(make: Make, path: Path) -> None:
    text = b"the shop's own notes\n" * 100
    path.write_bytes(text)
    with pytest.raises(StorageUnavailable, match="not a database"):
        make(busy_timeout=0.05).write(some(1))
    assert path.read_bytes() == text


def test_a_database_that_is_locked_is_waited_for_as_long_as_was_said(make: Make, path: Path) -> None:
    storage = make(busy_timeout=0.1)
    storage.write(some(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(StorageUnavailable, match="locked"):
            storage.write(some(1, start=1))
        assert 0.05 < time.monotonic() - started < 2
        other.execute("ROLLBACK")
    storage.write(some(1, start=1))
    assert ids(path) == ["e-0000", "e-0001"]


def test_readers_hold_up_no_writer(make: Make, path: Path) -> None:
    storage = make(busy_timeout=0.1)
    storage.write(some(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
        storage.write(some(1, start=1))
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
    assert ids(path) == ["e-0000", "e-0001"]


def test_a_relative_path_counts_from_where_the_storage_was_made(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    storage = make(Path("analytics.db"))
    monkeypatch.chdir(tmp_path / "there")
    storage.write(some(1))
    assert ids(tmp_path / "here" / "analytics.db") == ["e-0000"]


def test_a_path_may_begin_at_home(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make(Path("~/analytics.db")).path == tmp_path / "analytics.db"


def test_where_there_is_no_directory_the_start_stops(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="missing"):
        SqliteStorage(tmp_path / "missing" / "analytics.db")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="no directory"):
        SqliteStorage(tmp_path / "file" / "analytics.db")


def test_a_durability_that_there_is_not_stops_the_start(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="durability"):
        SqliteStorage(path, durability="none")  # type: ignore[arg-type]


WAL_RESET = """
    import logging, sqlite3, sys
    sqlite3.sqlite_version_info = {version}
    from tests.unit.making import an_event
    from tk_analytics_mw.storage.sqlite import SqliteStorage
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
    for name in ("a.db", "b.db", "a.db"):
        storage = SqliteStorage(name)
        for number in range(2):
            storage.write([an_event(f"e-{{number}}-{{each}}") for each in range(70)])
            storage.close()
    connection = sqlite3.connect("a.db")
    [count] = connection.execute("SELECT count(*) FROM events").fetchone()
    connection.close()
    print(count)
"""


@pytest.mark.parametrize(
    ("version", "warned"),
    [((3, 6, 23), False), ((3, 31, 1), True), ((3, 51, 2), True), ((3, 51, 3), False), ((3, 52, 0), False)],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_of_sqlites_wal_reset_bug_each_process_warns_once_where_it_is(
    tmp_path: Path, version: tuple[int, int, int], warned: bool
) -> None:
    *warnings, count = run_script(WAL_RESET.format(version=version), cwd=tmp_path).splitlines()
    assert count == "140"
    assert len(warnings) == warned
    for line in warnings:
        assert line.startswith("WARNING tk_analytics_mw.storage SQLite ")
        assert "3.51.3" in line


OPEN = """
    import sys
    from tk_analytics_mw.storage.sqlite import SqliteStorage
    storage = SqliteStorage("a.db")
    storage.write([])
    storage.close()
    print("sqlite_utils" in sys.modules)
"""


def test_only_who_migrates_a_file_waits_for_what_does_it(tmp_path: Path) -> None:
    assert [run_script(OPEN, cwd=tmp_path).strip() for _ in range(2)] == ["True", "False"]
