"""From a URL, or an engine of the host's, to our own engines: how they connect, and what a connection is told first."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from tk_analytics_mw.errors import ConfigurationError

WRITERS: Final = 4
"""Connections that write and stay open, in each process: one for group commit, others for deliveries and tokens."""

READERS: Final = 4
"""Connections that read and stay open."""

MORE: Final = 6
"""Further ones of each kind when there is much to do."""

_DRIVERS: Final = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
"""What a URL that names no driver is opened with."""


def url_of(text: str) -> URL:
    """Read a URL.

    Raises:
        ConfigurationError: it is none of an engine that this storage knows, or the driver is not installed.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # its text may repeat the password
        raise ConfigurationError("storage: this is no URL of SQLAlchemy, such as postgresql://user@host/shop") from None
    backend = url.get_backend_name()
    if backend not in _DRIVERS:
        raise ConfigurationError(f"storage: SQL databases are {', '.join(sorted(_DRIVERS))}, not {backend!r}")
    if not url.database:
        raise ConfigurationError(f"storage: {backend}://…/NAME: the URL names no database")
    if url.drivername == backend:
        url = url.set(drivername=f"{backend}+{_DRIVERS[backend]}")
    try:
        url.get_dialect().import_dbapi()
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        extra = "postgres" if backend == "postgresql" else "mysql"
        raise ConfigurationError(
            f"storage: {backend} needs {getattr(error, 'name', None) or 'a driver'}, which is not installed: "
            f'pip install "tk_analytics_mw[{extra}]"'
        ) from error
    return url


def check_engine(engine: Any) -> Engine:
    """Look at an engine of the host's.

    Raises:
        ConfigurationError: it is asynchronous, or of a database that this storage does not know.
    """
    sync = getattr(engine, "sync_engine", None)
    if sync is not None:
        raise ConfigurationError(
            "storage: an AsyncEngine cannot be used, events are written in worker threads; give the URL, "
            "or an engine of create_engine()"
        )
    if engine.dialect.name not in _DRIVERS:
        raise ConfigurationError(
            f"storage: an engine of {engine.dialect.name}: SQL databases are {', '.join(sorted(_DRIVERS))}; "
            "for SQLite write sqlite:///analytics.db"
        )
    if engine.dialect.is_async:
        raise ConfigurationError(
            f"storage: the driver {engine.dialect.driver} is asynchronous, and events are written in worker threads; "
            f"give an engine of {engine.dialect.name}+{_DRIVERS[engine.dialect.name]}://"
        )
    return engine  # type: ignore[no-any-return]


def engine_for(source: URL | Engine, *, kind: str, patience: float) -> Engine:
    """Make an engine of our own, with a pool of our own. It connects when it is first used.

    Args:
        source: where to; of an engine of the host's the pool's settings count too, and its connections stay the host's.
        kind: ``"writers"`` or ``"readers"``.
        patience: seconds to wait for a connection, or for a lock.
    """
    options: dict[str, Any] = {
        "isolation_level": "AUTOCOMMIT",  # transactions are begun in words: a statement alone is one round trip
        "hide_parameters": True,  # in errors: they are events
    }
    if isinstance(source, Engine):
        engine = create_engine(source.url, pool=source.pool.recreate(), **options)
    else:
        engine = create_engine(
            source,
            pool_size=WRITERS if kind == "writers" else READERS,
            max_overflow=MORE,
            pool_timeout=patience,
            pool_use_lifo=True,
            pool_reset_on_return=None,  # whoever gives one back has ended its transaction
            connect_args=_connect_args(source, patience),
            **options,
        )
    if engine.dialect.name != "postgresql":
        event.listen(engine, "connect", _prepare_mysql(kind, patience))
    return engine


def _connect_args(url: URL, patience: float) -> dict[str, Any]:
    """What the URL does not say itself."""
    seconds = max(2, round(patience))
    known: dict[str, Any] = {}
    if url.get_driver_name() == "psycopg":
        # A server that vanishes without a word is given up, not waited for.
        known = {"connect_timeout": seconds, "tcp_user_timeout": 2_000 * seconds, "application_name": "tk_analytics"}
    elif url.get_driver_name() == "pymysql":
        known = {"connect_timeout": seconds, "read_timeout": 4 * seconds, "write_timeout": 4 * seconds}
    return {name: value for name, value in known.items() if name not in url.query}


def _prepare_mysql(kind: str, patience: float) -> Any:
    # What is too long is an error and not cut off; times are UTC; and who writes locks what is there, no gaps.
    isolation = "READ COMMITTED" if kind == "writers" else "REPEATABLE READ"
    settings = {
        "sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
        "time_zone": "'+00:00'",
        "innodb_lock_wait_timeout": max(1, round(patience)),
    }
    words = (
        f"SET SESSION {', '.join(f'{name} = {value}' for name, value in settings.items())}",
        f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}",
    )

    def prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for each in words:
                cursor.execute(each)

    return prepare
