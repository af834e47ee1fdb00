"""A storage of your own: one line of JSON an event, in a file that any log shipper can follow.

Run it with ``gunicorn --workers 2 app:application`` in this folder. Any number of processes may share the file. That it
is a good one is proven by ``test_app.py`` beside it: ``pytest test_app.py``.
"""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from tk_analytics_mw import Analytics, Event, PrivateToken, StorageUnavailable


class JsonLinesStorage:
    """Keeps events in a text file, and in memory where each of them is: 400 bytes an event."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._places: dict[tuple[str, ...], int] = {}  # in bytes from the start of the file, by id and by key
        self._end = 0  # of what is known

    def write(self, events: list[Event]) -> list[Event]:
        lines = [event.model_dump_json().encode() + b"\n" for event in events]
        try:
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # threads too: each has opened the file for itself
                self._read_on(file)
                file.truncate(self._end)  # drops a line that a killed process did not finish
                start, new = self._end, b""
                for event, line in zip(events, lines, strict=True):
                    if self._place(event) is None:
                        self._learn(event, self._end)
                        self._end += len(line)
                        new += line
                try:
                    file.write(new)
                    file.flush()
                    os.fsync(file.fileno())  # only now the client may have its 200
                except OSError:
                    self._places, self._end = {}, 0  # whatever is there: it is read again
                    os.ftruncate(file.fileno(), start)
                    raise
                return [self._first(file, event) for event in events]
        except OSError as error:  # a full disk: 503, and the client tries again
            raise StorageUnavailable(str(error)) from error

    def close(self) -> None: ...

    def _read_on(self, file: BinaryIO) -> None:
        if os.fstat(file.fileno()).st_size < self._end:  # somebody has put an empty file in its place
            self._places, self._end = {}, 0
        file.seek(self._end)
        for line in file:
            if line.endswith(b"\n"):
                self._learn(Event.model_validate_json(line), self._end)
                self._end += len(line)

    def _learn(self, event: Event, place: int) -> None:
        self._places[event.id,] = place
        if event.idempotency_key is not None:
            self._places[event.org_id, event.idempotency_key] = place

    def _place(self, event: Event) -> int | None:
        by_key = self._places.get((event.org_id, event.idempotency_key or ""))
        return self._places.get((event.id,)) if by_key is None else by_key

    def _first(self, file: BinaryIO, event: Event) -> Event:
        file.seek(self._place(event) or 0)
        first = Event.model_validate_json(file.readline())
        return first if first.org_id == event.org_id else event  # nothing is told of other organisations


analytics = Analytics(
    storage=JsonLinesStorage(os.environ.get("EVENTS", "events.jsonl")),
    tokens=[PrivateToken("prv-demo-4e8c1b90d7f2", org_id="acme")],
)
application = analytics.wsgi()
