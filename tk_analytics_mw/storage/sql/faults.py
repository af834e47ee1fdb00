"""What an engine's error means: the server is away, its tables are missing, or one event will not do."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tk_analytics_mw.errors import StorageUnavailable

MIGRATE: Final = "run tk-analytics migrate (flask tk-analytics migrate, manage.py tk_analytics migrate)"

_OF_AN_EVENT: Final = ("22", "23", "54")
"""Classes of SQLSTATE: data exceptions, broken constraints, and what is beyond a limit of the program."""

_OF_AN_EVENT_MYSQL: Final = frozenset({1048, 1062, 1153, 1264, 1265, 1292, 1366, 1406, 3140, 4025, 1301})
_MISSING: Final = ("42P01", "42703", "3F000")
_MISSING_MYSQL: Final = frozenset({1146, 1054})
_TOO_LONG_MYSQL: Final = frozenset({1969, 3024, 1317})


def translated(error: Exception, where: str) -> Exception:
    """The error to raise in the place of SQLAlchemy's.

    Args:
        error: of SQLAlchemy or the operating system.
        where: the database, for the log: without its password.
    """
    if isinstance(error, PoolTimeout):
        return StorageUnavailable(f"{where}: all connections of the pool are in use")
    if not isinstance(error, DBAPIError):
        return StorageUnavailable(f"{where}: {type(error).__name__}: {error}")
    if is_missing(error):
        return StorageUnavailable(f"{where}: its tables are missing or old: {MIGRATE}")
    if is_of_an_event(error):
        return error
    return StorageUnavailable(f"{where}: {first_line(error)}")


def is_of_an_event(error: DBAPIError) -> bool:
    """Whether one of the rows is at fault, and others could be written."""
    state = sqlstate(error)
    if state is not None:
        return state[:2] in _OF_AN_EVENT
    number = mysql_number(error)
    # Drivers refuse what they cannot write down before they ask the server, with an error that has no number.
    return number in _OF_AN_EVENT_MYSQL if number is not None else not error.connection_invalidated and _is_data(error)


def is_missing(error: DBAPIError) -> bool:
    """Whether a table or a column is not there."""
    return sqlstate(error) in _MISSING or mysql_number(error) in _MISSING_MYSQL


def is_too_long(error: DBAPIError) -> bool:
    """Whether a statement was given up after its time."""
    return sqlstate(error) == "57014" or mysql_number(error) in _TOO_LONG_MYSQL


def is_lock_timeout(error: DBAPIError) -> bool:
    """Whether a lock could not be had in time."""
    return sqlstate(error) == "55P03" or mysql_number(error) == 1205


def sqlstate(error: DBAPIError) -> str | None:
    """PostgreSQL's code, whichever the driver."""
    found = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return found if isinstance(found, str) else None


def mysql_number(error: DBAPIError) -> int | None:
    """The code of MariaDB or MySQL."""
    first = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return first if isinstance(first, int) else None


def first_line(error: DBAPIError) -> str:
    """What the engine says, without the statement."""
    if mysql_number(error) is not None and error.orig is not None:
        return f"{error.orig.args[-1]} ({error.orig.args[0]})"
    return str(error.orig).strip().partition("\n")[0]


def _is_data(error: DBAPIError) -> bool:
    return type(error).__name__ in ("DataError", "IntegrityError", "NotSupportedError")
