"""From a setting to a storage. A further engine of ours is one more line in :data:`_SCHEMES`; one of another package is
an entry point."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.plugins import from_entry_point, load_object
from tk_analytics_mw.storage.base import Storage

ENTRY_POINTS: Final = "tk_analytics_mw.storages"
"""Group of the entry points by which other packages add schemes. The name is the scheme, in small letters; what it
leads to is called with the whole URL and the keywords ``durability`` and ``commit_timeout``, and gives a storage."""

_NAMES: Final = {"django": "django://"}
"""What is a name, and needs no address."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


def storage_from(setting: Any, *, durability: str, commit_timeout: float) -> Storage:
    """Make the storage that the setting ``storage`` describes.

    Args:
        setting: a URL (``sqlite:///analytics.db`` is relative, ``sqlite:////var/lib/shop/analytics.db`` is not;
            ``memory://`` for tests; ``clickhouse://user@host/shop`` and ``clickhouse+chdb:///directory``;
            ``postgresql://user@host/shop``, ``mysql://…`` and ``mariadb://…``, with or without ``+driver``, the
            first of them also with ``?partitions=monthly``; ``django`` or ``django://alias`` for a database of the
            Django project; those that other packages add by :data:`ENTRY_POINTS`), ``"package.module:Class"``, an
            engine of SQLAlchemy, or an object that has ``write`` and ``close``.
        durability: ``"full"`` or ``"relaxed"``, for storages made from a URL.
        commit_timeout: seconds that such a storage may wait for its engine.

    Raises:
        ConfigurationError: it describes none.
    """
    if isinstance(setting, str):
        setting = _NAMES.get(setting, setting)
        url = _URL.fullmatch(setting)
        if url is not None:
            scheme, rest = url.groups()
            build = _SCHEMES.get(scheme.lower())
            if build is not None:
                return build(rest, durability, commit_timeout)
            if scheme.lower().partition("+")[0] in _SQL:
                return _sql(setting, durability, commit_timeout)
            setting = from_entry_point(
                ENTRY_POINTS,
                scheme.lower(),
                [*_SCHEMES, *_SQL],
                setting,
                durability=durability,
                commit_timeout=commit_timeout,
            )
        elif ":" not in setting:
            raise ConfigurationError(
                f"storage: {setting!r} is neither a URL, such as sqlite:///analytics.db, nor 'package.module:Class'"
            )
        else:
            setting = load_object(setting, "storage")
    if type(setting).__module__.startswith("sqlalchemy."):
        return _sql(setting, durability, commit_timeout)
    if isinstance(setting, type):
        raise ConfigurationError(f"storage: write {setting.__name__}(…), an object and not the class")
    for name in ("write", "close"):
        if not callable(getattr(setting, name, None)):
            raise ConfigurationError(
                f"storage: a {type(setting).__name__} has no method {name}(); for a file write sqlite:///analytics.db"
            )
        if inspect.iscoroutinefunction(getattr(setting, name)):
            raise ConfigurationError(
                f"storage: {type(setting).__name__}.{name} is async; write a plain one, it runs in a worker thread"
            )
    return setting  # type: ignore[no-any-return]


def _sqlite(rest: str, durability: str, commit_timeout: float) -> Storage:
    from tk_analytics_mw.storage.sqlite import SqliteStorage

    path = rest.removeprefix("/")
    if not rest.startswith("/") or not path or path == ":memory:" or "?" in path:
        raise ConfigurationError(
            "storage: write sqlite:///analytics.db for a file in the working directory, "
            "sqlite:////absolute/path.db for another"
        )
    return SqliteStorage(path, durability=durability, busy_timeout=commit_timeout)  # type: ignore[arg-type]


def _memory(rest: str, _durability: str, _commit_timeout: float) -> Storage:
    from tk_analytics_mw.storage.memory import MemoryStorage

    if rest:
        raise ConfigurationError("storage: write memory:// and nothing behind it")
    return MemoryStorage()


def _clickhouse(rest: str, durability: str, commit_timeout: float) -> Storage:
    from tk_analytics_mw.storage.clickhouse import ClickHouseStorage, server_target

    return ClickHouseStorage(server_target(rest), durability=durability, timeout=commit_timeout)  # type: ignore[arg-type]


def _chdb(rest: str, durability: str, commit_timeout: float) -> Storage:
    from tk_analytics_mw.storage.clickhouse import ClickHouseStorage, engine_target

    return ClickHouseStorage(engine_target(rest), durability=durability, timeout=commit_timeout)  # type: ignore[arg-type]


def _sql(setting: Any, durability: str, commit_timeout: float) -> Storage:
    try:
        from tk_analytics_mw.storage.sql import SqlStorage
    except ModuleNotFoundError as error:
        extra = "postgres" if str(setting).lower().startswith("postgresql") else "mysql"
        raise ConfigurationError(
            f'storage: SQL databases need {error.name}: pip install "tk_analytics_mw[{extra}]"'
        ) from error
    return SqlStorage(setting, durability=durability, commit_timeout=commit_timeout)  # type: ignore[arg-type]


_SCHEMES: Final[dict[str, Callable[[str, str, float], Storage]]] = {
    "sqlite": _sqlite,
    "memory": _memory,
    "clickhouse": _clickhouse,
    "clickhouse+chdb": _chdb,
}

_SQL: Final = ("postgresql", "mysql", "mariadb")
"""The databases that SQLAlchemy leads to; a driver of it may follow behind a plus."""
