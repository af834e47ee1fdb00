"""All events in a format that other programs read, slice by slice at constant memory.

A long read from one snapshot would keep the write-ahead log growing. So an export has an end, the position of the
last commit when it begins, and each slice of it a snapshot of its own. Events do not change, and what is stored
later has a later position: the slices together are the state of that moment. Only what is erased meanwhile, and not
yet sent, is missing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, Literal, Protocol

from tk_analytics_mw.errors import Refused
from tk_analytics_mw.events import Event
from tk_analytics_mw.json_values import dump
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.reader import Reader
from tk_analytics_mw.storage.rows import COLUMNS, WIRE_NAMES, event_of, moment_of
from tk_analytics_mw.waiting import Waits

Format = Literal["ndjson", "csv", "parquet"]

CONTENT_TYPES: Final[dict[Format, str]] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}

ROW_GROUP: Final = 50_000
"""Rows of a Parquet row group, at most one slice more: some 40 MB while it is made."""

_LEFT_OUT: Final = ("spelling", "idempotency_key")  # how a request was made, not what happened
_EXPORTED: Final = tuple(name for name in COLUMNS if name not in _LEFT_OUT)
_PLACES: Final = tuple(COLUMNS.index(name) for name in _EXPORTED)
_OF_USER_AGENT: Final = ("device_type", "device_family", "system", "browser", "user_agent")
_HEADER: Final = tuple(WIRE_NAMES[name] for name in _EXPORTED)

# What makes a spreadsheet take a cell for a formula (OWASP ASVS 1.2.10), in full width too.
_FORMULA: Final = frozenset("=+-@\t\r\n\0＝＋－＠")  # noqa: RUF001


class Writer(Protocol):
    """Turns slices into bytes. Its methods block."""

    def slice(self, after: int) -> tuple[bytes, int]:
        """The bytes of the next slice, which may be none, and the position up to which it goes."""
        ...

    def end(self) -> bytes:
        """What comes behind the last slice."""
        ...


def writer_of(format_: Format, reader: Reader, wanted: Filter, until: int, *, full: bool = False) -> Writer:
    """Make the writer of an export.

    Args:
        format_: of the export.
        reader: of the storage.
        wanted: which events.
        until: position of the last one.
        full: whether NDJSON, too, has what was read from the User-Agent, which the API does not return.

    Raises:
        Refused: with 501, pyarrow is not installed.
    """
    writer = _FullNdjson if full and format_ == "ndjson" else _WRITERS[format_]
    return writer(reader, wanted, until)


async def chunks_of(writer: Writer, until: int, waits: Waits) -> AsyncGenerator[bytes, None]:
    """The bytes of an export."""
    position = 0
    while position < until:
        chunk, position = await waits.read(writer.slice, position)
        if chunk:
            yield chunk
    end = await waits.read(writer.end)
    if end:
        yield end


class _Ndjson:
    """Events as the API returns them, one a line."""

    def __init__(self, reader: Reader, wanted: Filter, until: int) -> None:
        self._reader = reader
        self._wanted = wanted
        self._until = until

    def slice(self, after: int) -> tuple[bytes, int]:
        return self._reader.lines(self._wanted, after=after, until=self._until)

    def end(self) -> bytes:
        return b""


class _FullNdjson(_Ndjson):
    """The same, with what was read from the User-Agent: all that an import needs to store them as they were."""

    def slice(self, after: int) -> tuple[bytes, int]:
        rows, position = self._reader.rows(self._wanted, after=after, until=self._until)
        return b"".join(_full_line(event_of(row)) for row in rows), position


def _full_line(event: Event) -> bytes:
    values = ((name, getattr(event, name)) for name in _OF_USER_AGENT)
    return dump(event.as_read() | {WIRE_NAMES[name]: value for name, value in values if value is not None}) + b"\n"


class _Csv:
    """A line of names, then a line for each event; objects as JSON. RFC 4180."""

    def __init__(self, reader: Reader, wanted: Filter, until: int) -> None:
        self._reader = reader
        self._wanted = wanted
        self._until = until
        self._text = io.StringIO(newline="")
        self._lines = csv.writer(self._text)
        self._lines.writerow(_HEADER)

    def slice(self, after: int) -> tuple[bytes, int]:
        rows, position = self._reader.rows(self._wanted, after=after, until=self._until)
        self._lines.writerows([[_cell(row[place]) for place in _PLACES] for row in rows])
        return self._taken(), position

    def end(self) -> bytes:
        return self._taken()  # the names, if there is no event

    def _taken(self) -> bytes:
        taken = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return taken


def _cell(value: Any) -> Any:
    """``value`` as no spreadsheet takes it for a formula."""
    return f"'{value}" if type(value) is str and value[:1] in _FORMULA and value else value


class _Parquet:
    """Columns by their names on the wire; objects as JSON, ``createdAt`` as a timestamp in UTC."""

    def __init__(self, reader: Reader, wanted: Filter, until: int) -> None:
        try:
            import pyarrow as pa
            from pyarrow.parquet import ParquetWriter
        except ImportError:
            raise Refused("Parquet needs pyarrow: pip install 'tk_analytics_mw[parquet]'", status=501) from None
        self._reader = reader
        self._wanted = wanted
        self._until = until
        self._arrow = pa
        self._rows: list[Sequence[Any]] = []
        types = {"created_at": pa.timestamp("ms", tz="UTC"), "metric": pa.float64()}
        self._schema = pa.schema([(WIRE_NAMES[name], types.get(name, pa.string())) for name in _EXPORTED])
        self._written = _Written()
        self._file = ParquetWriter(self._written, self._schema, compression="zstd")

    def slice(self, after: int) -> tuple[bytes, int]:
        rows, position = self._reader.rows(self._wanted, after=after, until=self._until)
        self._rows += rows
        if len(self._rows) >= ROW_GROUP:
            self._write()
        return self._written.taken(), position

    def end(self) -> bytes:
        if self._rows:
            self._write()
        self._file.close()
        return self._written.taken()

    def _write(self) -> None:
        columns = [*zip(*self._rows, strict=True)]
        self._rows = []
        arrays = [
            self._arrow.array(
                [moment_of(text) for text in columns[place]] if field.name == "createdAt" else columns[place],
                field.type,
            )
            for place, field in zip(_PLACES, self._schema, strict=True)
        ]
        self._file.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))


class _Written(io.RawIOBase):
    """A file that gives away what is written to it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def taken(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


_WRITERS: Final[dict[Format, Callable[[Reader, Filter, int], Writer]]] = {
    "ndjson": _Ndjson,
    "csv": _Csv,
    "parquet": _Parquet,
}
