"""Connections to ClickHouse, and its errors as ours."""

from __future__ import annotations

import logging
import math
import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any, Final

from tk_analytics_mw.errors import ConfigurationError, ReadTooLong, StorageUnavailable
from tk_analytics_mw.storage.clickhouse.binding import divided
from tk_analytics_mw.storage.clickhouse.target import Target

logger: Final = logging.getLogger("tk_analytics_mw.storage")

READ_SECONDS: Final = 5.0
"""After which a question is given up."""

WORK_SECONDS: Final = 3600.0
"""For what an operator starts: migrations, and the rewriting of parts when events are erased."""

CONNECT_SECONDS: Final = 3.0

NOT_LOOKED: Final[tuple[float, frozenset[str]]] = (-math.inf, frozenset())
"""What is known of parts before it was looked for them."""

_TOO_MUCH: Final = frozenset({158, 159, 241, 307, 396})
"""Codes of what a question may take: rows, time, memory, bytes, size of the result."""

_PLAIN: Final = {
    81: "there is no such database, and tk-analytics makes none",
    497: "this user has not the rights",
    516: "there is no such user, or it has another password",
}

# What ClickHouse says of values and not of itself: the fault of an event. We check them before, so these are rare.
_OF_VALUES: Final = frozenset({6, 26, 27, 32, 38, 41, 53, 69, 70, 117, 131, 349, 407, 441})

_BASE: Final = {
    "use_skip_indexes_if_final": 1,
    "do_not_merge_across_partitions_select_final": 1,  # of one id there is one moment, and so one month
    "output_format_json_escape_forward_slashes": 0,
    "output_format_json_quote_64bit_integers": 0,
}

_WHERE_KNOWN: Final = {
    "use_skip_indexes_on_data_read": 0,  # of all parts at once before they are read: in half of the time
}
"""Settings that older servers have not."""


class Connections:
    """The connections of each process, opened on first use.

    Args:
        target: which ClickHouse.
        timeout: seconds that a write may take.

    Raises:
        ConfigurationError: a package for it is not installed.
    """

    def __init__(self, target: Target, *, timeout: float) -> None:
        _check_installed(target)
        self.target = target
        self.timeout = timeout
        # By process. What was opened before a fork stays here in the child, untouched.
        self._processes: dict[int, _Process] = {}
        weakref.finalize(self, _close_own, self._processes)

    @property
    def process(self) -> _Process:
        """What this process has."""
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _Process())

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """A client, for statements that write events. One thread of a process at a time has it.

        Raises:
            StorageUnavailable: the server is away, or cannot write now.
        """
        with _lock_of(self.target), self._client(self.timeout) as client:
            yield client

    @contextmanager
    def working(self) -> Iterator[Any]:
        """A client that has time.

        Raises:
            StorageUnavailable: the server is away, or cannot do it now.
        """
        self.rows("SELECT 1", {})  # so that a server that hangs is not waited for that long
        with self._client(WORK_SECONDS) as client:
            yield client

    def rows(self, sql: str, values: Mapping[str, Any], seconds: float | None = None) -> list[tuple[Any, ...]]:
        """Ask a question.

        Args:
            sql: with ``{name:Type}`` for each value.
            values: by name.
            seconds: after which it is given up; :data:`READ_SECONDS` unless it is said otherwise.

        Raises:
            ReadTooLong: the time is over, or it takes too much memory.
            StorageUnavailable: the server is away, or cannot answer now.
        """
        sql, sent = divided(sql, values)
        with self._client(READ_SECONDS if seconds is None else seconds, asks=True) as client:
            found: list[tuple[Any, ...]] = client.query(sql, parameters=sent).result_rows
            return found

    def column(self, sql: str, values: Mapping[str, Any]) -> Sequence[bytes]:
        """Ask for a column of texts, which are given in UTF-8. Raises as :meth:`rows` does."""
        with self._client(READ_SECONDS, asks=True) as client:
            answer = client.query(sql, parameters=dict(values), query_formats={"String": "bytes"}, column_oriented=True)
            found: Sequence[bytes] = answer.result_columns[0] if answer.result_columns else []
            return found

    def close(self) -> None:
        """Close what this process has open. It is opened again when it is needed."""
        self.process.close()

    @contextmanager
    def _client(self, seconds: float, *, asks: bool = False) -> Iterator[Any]:
        process = self.process
        client = None
        try:
            client = process.take(seconds) or self._open(seconds)
            yield client
        except Exception as error:
            ours = self._ours(error)
            if isinstance(ours, StorageUnavailable) and asks and getattr(error, "code", None) in _TOO_MUCH:
                ours = ReadTooLong(seconds)
            if client is not None and (ours is None or isinstance(ours, ReadTooLong)):
                process.put(seconds, client)  # there is nothing wrong with the connection
            elif client is not None:
                with suppress(Exception):
                    client.close()
            if ours is None:
                raise
            raise ours from error
        except BaseException:
            if client is not None:
                client.close()
            raise
        process.put(seconds, client)

    def _open(self, seconds: float) -> Any:
        from clickhouse_connect import get_client

        settings = {**_BASE, "max_execution_time": seconds}
        if self.target.path is not None:
            client = get_client(**self.target.options(), settings=settings)
        else:
            client = get_client(
                **self.target.options(),
                settings=settings,
                connect_timeout=CONNECT_SECONDS,
                send_receive_timeout=seconds + CONNECT_SECONDS,  # the server gives up before, and says so
                autogenerate_session_id=False,  # statements need no session, and threads would wait for one another
                form_encode_query_params=True,  # URLs are logged, here and there, and what is asked for may be a person
                dedicated_pool=True,  # the common one has eight connections, and nobody closes them
            )
        for name, value in _WHERE_KNOWN.items():
            if name in client.server_settings:
                client.set_client_setting(name, value)
        return client

    def _ours(self, error: Exception) -> Exception | None:
        """The error as ours; ``None`` for one that is of values, or no error of ClickHouse's."""
        from clickhouse_connect.driver.exceptions import ClickHouseError

        if isinstance(error, (StorageUnavailable, ReadTooLong, ConfigurationError)):
            return None
        if not isinstance(error, (ClickHouseError, OSError)):
            return None
        code = getattr(error, "code", None)
        if code in _OF_VALUES:
            return None
        # Of an error of the server's the text may hold the statement, and with it what somebody asked for.
        # (The password is in neither: that goes in a header.)
        if code is None:
            told = str(error if self.target.path is not None else _root(error)).partition("\n")[0][:300]
        else:
            told = f"{_PLAIN[code]}: " if code in _PLAIN else ""
            told += f"{getattr(error, 'name', None)}, code {code}"
        logger.warning("ClickHouse: %s (%s)", told, self.target)
        return StorageUnavailable(f"ClickHouse: {told} ({self.target})")


def _root(error: BaseException) -> BaseException:
    """What an error of the connection comes from: those around it say no more than the URL."""
    while (cause := getattr(error, "reason", None) or error.__cause__) is not None and isinstance(cause, Exception):
        error = cause
    return error


class _Process:
    """What one process has open."""

    def __init__(self) -> None:
        self.migrated = False
        """Whether the tables were seen to be those of today."""
        self.ends: dict[str, tuple[float, int, int]] = {}
        """When the first and the last event of an organisation were, and until when that is believed."""
        self.settled: tuple[float, frozenset[str]] = NOT_LOOKED
        """When it was looked for parts whose rows all count, and which these are."""
        self._idle: dict[float, list[Any]] = {}
        self._mutex = threading.Lock()

    def take(self, seconds: float) -> Any:
        with self._mutex:
            idle = self._idle.get(seconds)
            return idle.pop() if idle else None

    def put(self, seconds: float, client: Any) -> None:
        with self._mutex:
            self._idle.setdefault(seconds, []).append(client)

    def close(self) -> None:
        self.migrated = False
        self.ends.clear()
        self.settled = NOT_LOOKED
        with self._mutex:
            clients = [client for idle in self._idle.values() for client in idle]
            self._idle.clear()
        for client in clients:
            with suppress(Exception):
                client.close()


# Of who writes, by process and target: one that is held during a fork stays held in the child.
_locks: Final[dict[tuple[int, str], threading.Lock]] = {}


def _lock_of(target: Target) -> threading.Lock:
    place = (os.getpid(), str(target))
    return _locks.get(place) or _locks.setdefault(place, threading.Lock())


def _close_own(processes: dict[int, _Process]) -> None:
    own = processes.get(os.getpid())
    if own is not None:
        own.close()


def _check_installed(target: Target) -> None:
    """See at the start that what is imported at the first use is there."""
    needed = (
        {"clickhouse_connect": "clickhouse"} if target.path is None else {"clickhouse_connect": "chdb", "chdb": "chdb"}
    )
    for module, extra in needed.items():
        if find_spec(module) is None:
            raise ConfigurationError(f'storage: ClickHouse needs {module}: pip install "tk_analytics_mw[{extra}]"')
