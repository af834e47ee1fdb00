"""A storage of your own: one line of JSON an event, in a file that any log shipper can follow.

Run it with ``gunicorn --workers 2 app:application`` in this folder. Any number of processes may share the file.
"""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from tk_analytics_mw import Analytics, Event, PrivateToken, StorageUnavailable


class JsonLinesStorage:
    """Keeps events in a text file, and in memory where each of them is: 200 bytes an event."""

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()
        self._places: dict[tuple[str, str], int] = {}  # in bytes from the start of the file
        self._end = 0  # of what is known

    def write(self, events: list[Event]) -> list[Event]:
        try:
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # threads too: each has opened the file for itself
                self._read_on(file)
                new: dict[tuple[str, str], Event] = {}
                for event in events:
                    if _key(event) not in self._places:
                        new.setdefault(_key(event), event)
                file.truncate(self._end)  # drops a line that a killed process did not finish
                file.write(b"".join(event.model_dump_json().encode() + b"\n" for event in new.values()))
                file.flush()
                os.fsync(file.fileno())  # only now the client may have its 200
                return [new.get(_key(event)) or self._read(file, _key(event)) for event in events]
        except OSError as error:  # a full disk: 503, and the client tries again
            raise StorageUnavailable(str(error)) from error

    def close(self) -> None: ...

    def _read_on(self, file: BinaryIO) -> None:
        if os.fstat(file.fileno()).st_size < self._end:  # somebody has put an empty file in its place
            self._places, self._end = {}, 0
        file.seek(self._end)
        for line in file:
            if line.endswith(b"\n"):
                self._places.setdefault(_key(Event.model_validate_json(line)), self._end)
                self._end += len(line)

    def _read(self, file: BinaryIO, key: tuple[str, str]) -> Event:
        file.seek(self._places[key])
        return Event.model_validate_json(file.readline())


def _key(event: Event) -> tuple[str, str]:
    return event.org_id, event.idempotency_key or event.id


analytics = Analytics(
    storage=JsonLinesStorage(os.environ.get("EVENTS", "events.jsonl")),
    tokens=[PrivateToken("prv-demo-4e8c1b90d7f2", org_id="acme")],
)
application = analytics.wsgi()
