"""From a filter to SQL: a condition of fixed words, and the values for its question marks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.queries import EQUAL_COLUMNS, Filter, Order, Place, Scalar

ALWAYS: Final = ("", "~")
"""Between these two are all times."""

DIRECTIONS: Final[dict[Order, tuple[str, str]]] = {"newest": ("<", "DESC"), "oldest": (">", "ASC")}
"""How an event that comes later in a list compares with an earlier one, and how SQL sorts so."""

_EQUALS: Final = {name: f"{name} = ?" for name in EQUAL_COLUMNS}

# By key and value, not by path: a path cannot name every key that JSON can have.
_METADATA: Final = "EXISTS (SELECT 1 FROM json_each(event_metadata) WHERE key = ? AND type IN {} AND value IS ?)"
_IS_TEXT: Final = _METADATA.format("('text')")
_IS_NUMBER: Final = _METADATA.format("('integer', 'real')")
_IS_TRUTH: Final = _METADATA.format("('true', 'false')")
_IS_NULL: Final = _METADATA.format("('null')")


class Condition(NamedTuple):
    """What stands behind ``WHERE``."""

    sql: str
    values: tuple[Any, ...]


def condition(wanted: Filter) -> Condition:
    """The condition that the events of ``wanted`` meet, and no others. It never holds what a client sent."""
    parts: list[tuple[str, Any]] = [("org_id = ?", wanted.org_id)]
    parts += [(_EQUALS[name], value) for name, value in wanted.equals.items()]
    if wanted.since is not None:
        parts.append(("created_at >= ?", text_of(wanted.since)))
    if wanted.until is not None:
        parts.append(("created_at < ?", text_of(wanted.until)))
    values = [value for _, value in parts]
    words = [sql for sql, _ in parts]
    for key, value in wanted.metadata.items():
        words.append(_of_type(value))
        values += [key, value]
    return Condition(" AND ".join(words), tuple(values))


def between(wanted: Filter, order: Order = "newest", after: Place | None = None) -> tuple[str, str]:
    """The earliest and the latest time that an event of a list can have, as it is stored."""
    earliest, latest = ALWAYS
    if wanted.since is not None:
        earliest = text_of(wanted.since)
    if wanted.until is not None:
        latest = text_of(wanted.until)[:-1]  # sorts before what goes on with Z, and behind the millisecond before
    if after is not None and order == "newest":
        latest = min(latest, after.created_at)
    elif after is not None:
        earliest = max(earliest, after.created_at)
    return earliest, latest


def listed(wanted: Filter, order: Order, after: Place | None, times: tuple[str, str]) -> Condition:
    """The condition of a list's events behind a place, as far as they are of these times.

    There is one limit on each side: of two, SQLite goes by the one that was written first, however far it is.
    """
    sql, values = condition(replace(wanted, since=None, until=None))
    sql += " AND created_at >= ? AND created_at <= ?"
    values += times
    if after is not None:
        sql += f" AND (+created_at, position) {DIRECTIONS[order][0]} (?, ?)"  # with a plus, no limit to go by
        values += after
    return Condition(sql, values)


def _of_type(value: Scalar) -> str:
    if value is None:
        return _IS_NULL
    if isinstance(value, bool):  # before int, which it is as well
        return _IS_TRUTH
    return _IS_TEXT if isinstance(value, str) else _IS_NUMBER


def text_of(moment: datetime) -> str:
    """A moment as ``created_at`` is compared with it."""
    # Up to the next millisecond: what is stored has no finer ones, and is compared as text.
    moment = moment.astimezone(timezone.utc)
    return timestamp(moment + timedelta(microseconds=-moment.microsecond % 1000))
