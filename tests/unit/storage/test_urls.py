"""From the setting ``storage`` to a storage."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.making import run_script
from tk_analytics_mw import Analytics
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.base import Storage
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.storage.urls import storage_from

storage_of = functools.partial(storage_from, durability="full", commit_timeout=5.0)


class Own:
    def write(self, events: Sequence[Event]) -> None: ...

    def close(self) -> None: ...


class WithoutClose:
    def write(self, events: Sequence[Event]) -> None: ...


class Async:
    async def write(self, events: Sequence[Event]) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///analytics.db", "{cwd}/analytics.db"),
        ("sqlite:///data/shop analytics.db", "{cwd}/data/shop analytics.db"),
        ("sqlite:///./analytics.db", "{cwd}/analytics.db"),
        ("sqlite:////{cwd}/data/a.db", "/{cwd}/data/a.db"),
        ("SQLite:///analytics.db", "{cwd}/analytics.db"),
        ("sqlite:///100%25.db", "{cwd}/100%25.db"),
    ],
)
def test_a_url_of_sqlite_is_a_path(url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    storage = storage_of(url.format(cwd=str(tmp_path)[1:] if "{cwd}" in url else ""))
    assert isinstance(storage, SqliteStorage)
    assert storage.path == Path(path.format(cwd=tmp_path if path.startswith("{") else str(tmp_path)[1:]))
    assert not storage.path.exists()


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///", "sqlite://analytics.db", "sqlite://host/a.db", "sqlite:///:memory:", "sqlite:///a?x=1"],
)
def test_a_url_of_sqlite_that_is_no_file_says_what_to_write(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"storage: write sqlite:///analytics\.db"):
        storage_of(url)


@pytest.mark.parametrize("url", ["postgres://host/shop", "sqlite3:///a.db", "file:///a.db", "x-y+z.1://"])
def test_another_scheme_says_which_are_known(url: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"known: sqlite, memory, clickhouse, clickhouse\+chdb, postgresql, mysql"
    ):
        storage_of(url)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        storage_of("postgres://shop:hunter2@host/shop")
    assert "hunter2" not in str(caught.value)


def test_an_object_is_used_as_it_is() -> None:
    storage = Own()
    assert storage_of(storage) is storage
    assert isinstance(storage, Storage)


def test_a_name_is_imported_and_its_class_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_storage_for_a_test.py").write_text(
        "class Own:\n    def write(self, events): ...\n    def close(self): ...\n"
        "class Inside:\n    Own = Own\n"
        "made = Own()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("Own", "Inside.Own", "made"):
        assert type(storage_of(f"shop_storage_for_a_test:{name}")).__name__ == "Own"
    assert storage_of("shop_storage_for_a_test:made") is storage_of("shop_storage_for_a_test:made")
    with pytest.raises(ConfigurationError, match=r"storage: cannot load 'shop_storage_for_a_test:Missing'.*Missing"):
        storage_of("shop_storage_for_a_test:Missing")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("", "neither a URL"),
        ("analytics.db", "sqlite:///analytics.db"),
        ("/var/lib/analytics.db", "sqlite:///analytics.db"),
        (":Class", "no 'package.module:Class'"),
        ("json:", "no 'package.module:Class'"),
        ("no_such_package_here:Class", "cannot load"),
        ("json:JSONDecoder", "JSONDecoder has no method write"),
        (None, "NoneType has no method write"),
        (5, "int has no method write"),
        (Path("analytics.db"), "sqlite:///analytics.db"),
        (WithoutClose(), "WithoutClose has no method close"),
        (Async(), "Async.write is async"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_storage_stops_the_start_and_says_why(setting: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match="storage") as caught:
        storage_of(setting)
    assert told in str(caught.value)


def test_a_class_in_the_place_of_its_object_stops_the_start() -> None:
    """``storage=Own`` for ``storage=Own()``: it has the methods, and each call would fail with the first event."""
    with pytest.raises(ConfigurationError, match="Own"):
        storage_of(Own)


@pytest.mark.parametrize(
    ("url", "missing", "extra"),
    [
        ("postgresql://host/shop", "sqlalchemy", "postgres"),
        ("postgresql://host/shop", "psycopg", "postgres"),
        ("mysql+pymysql://host/shop", "pymysql", "mysql"),
        ("mariadb://host/shop", "sqlalchemy", "mysql"),
    ],
)
def test_what_a_sql_database_needs_and_is_not_installed_is_named_with_its_extra(
    url: str, missing: str, extra: str
) -> None:
    said = run_script(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from tk_analytics_mw import Analytics, ConfigurationError\n"
        f"try:\n    Analytics(storage={url!r})\nexcept ConfigurationError as error:\n    print(error)\n"
    )
    assert missing in said
    assert f'pip install "tk_analytics_mw[{extra}]"' in said


@pytest.mark.parametrize(
    ("url", "missing", "extra"),
    [
        ("clickhouse://shop:hunter2@127.0.0.1:1/shop", "clickhouse_connect", "clickhouse"),
        ("clickhouse+chdb:///analytics", "clickhouse_connect", "chdb"),
        ("clickhouse+chdb:///analytics", "chdb", "chdb"),
    ],
)
def test_a_package_that_clickhouse_lacks_is_named_at_the_start(
    url: str, missing: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=rf"needs {missing}: .*tk_analytics_mw\[{extra}\]") as caught:
        Analytics(storage=url)
    assert "hunter2" not in str(caught.value)
