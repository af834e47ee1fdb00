"""Exports: events in the order of commits, a slice at a time, each from a short snapshot of its own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, literal_column, select

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.lines import line_of
from tk_analytics_mw.storage.reader import RowSlice, Slice
from tk_analytics_mw.storage.rows import COLUMNS
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.filters import SHAPES, Shape, conditions, shape_of, values_of
from tk_analytics_mw.storage.sql.schema import events

SLICE: Final = 5_000
"""Positions of one slice: some 30 ms, and 3 MB of JSON."""

_MOMENT: Final = """to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
_TEXTS: Final = {
    # How a column is read as row_of() gives it, where the driver would make something else of it.
    "postgresql": {
        "id": "CAST(id AS text)",
        "created_at": _MOMENT,
        "event_metadata": "CAST(event_metadata AS text)",
        "configuration": "CAST(configuration AS text)",
    },
    "mysql": {"created_at": "CONCAT(LEFT(DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')"},
}


def lines_between(connections: Connections, wanted: Filter, after: int, until: int) -> Slice:
    """See :meth:`Reader.lines <tk_analytics_mw.storage.reader.Reader.lines>`.

    PostgreSQL puts the lines together: by way of Python's objects it takes three times the time.
    """
    if not connections.is_postgresql:
        rows, position = rows_between(connections, wanted, after, until)
        return Slice(b"".join(map(line_of, rows)), position)
    end = min(after + SLICE, until)
    with connections.reading(few=True) as connection:
        values = {**values_of(wanted), "after": after, "end": end}
        found = connection.execute(_lines(shape_of(connection, wanted)), values).scalar()
        return Slice(b"", _next(connection, end, until)) if found is None else Slice(found.encode(), end)


def rows_between(connections: Connections, wanted: Filter, after: int, until: int) -> RowSlice:
    """See :meth:`Reader.rows <tk_analytics_mw.storage.reader.Reader.rows>`."""
    end = min(after + SLICE, until)
    with connections.reading(few=True) as connection:
        values = {**values_of(wanted), "after": after, "end": end}
        rows = connection.execute(_rows(shape_of(connection, wanted)), values).all()
        return RowSlice(rows, end if rows else _next(connection, end, until))


@lru_cache(SHAPES)
def _lines(shape: Shape) -> Select[Any]:
    some = _between(shape, _LINE.label("line")).subquery()
    return select(func.string_agg(some.c.line, ""))


@lru_cache(SHAPES)
def _rows(shape: Shape) -> Select[Any]:
    texts = _TEXTS["postgresql" if shape.postgresql else "mysql"]
    return _between(shape, *(literal_column(texts.get(name, name)) for name in COLUMNS))


def _between(shape: Shape, *columns: ColumnElement[Any]) -> Select[Any]:
    place = events.c.position
    return (
        select(*columns)
        .select_from(events)
        .where(*conditions(shape), place > bindparam("after"), place <= bindparam("end"))
        .order_by(place)
    )


def _next(connection: Connection, end: int, until: int) -> int:
    """Up to which position there is nothing further: purged events leave long gaps."""
    following = connection.execute(select(func.min(events.c.position)).where(events.c.position > end)).scalar()
    return until if following is None else max(end, min(following - 1, until))


def _text(column: str) -> str:
    return f"CAST(to_json({column}) AS text)"


def _if_there(name: str, value: str) -> str:
    return f"""coalesce(',"{name}":' || {value}, '')"""


_MEMBERS: Final = (
    """'{"id":"' || id || '","createdAt":"' || """ + _MOMENT,
    """'","eventType":' || """ + _text("event_type"),
    """',"orgId":' || """ + _text("org_id"),
    """',"sessionId":' || """ + _text("session_id"),
    _if_there("eventMetadata", "CAST(event_metadata AS text)"),
    _if_there("assetId", _text("asset_id")),
    _if_there("userId", _text("user_id")),
    _if_there("configId", _text("config_id")),
    _if_there("configuration", "CAST(configuration AS text)"),
    _if_there("device", _text("device")),
    """',"metric":' || """ + _text("metric"),
    """',"requestUrl":' || """ + f"coalesce({_text('request_url')}, 'null')",
    """',"requestOrigin":' || """ + f"coalesce({_text('request_origin')}, 'null')",
    """',"referer":' || """ + _text("referer"),
    "E'}\\n'",
)
_LINE: Final[ColumnElement[str]] = literal_column(" || ".join(_MEMBERS))
"""The line of an event, as :meth:`Event.as_read` has it."""
