"""The API over made data, in whichever storage that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests.bench import made
from tests.hosts.base import PRIVATE, Reply
from tests.hosts.wsgi_face import call_wsgi, environ_of
from tk_analytics_mw import Analytics, PrivateToken
from tk_analytics_mw.storage.figures import figures_of

_FILE: Final = "sqlite:///"
_SLACK: Final = {"postgresql": 2.0}
"""How many times as long an answer may take as from an SQLite file, where that is not once."""


class Door:
    """Requests through WSGI, in this process, of the largest organisation, which has three tenths of the events.

    Args:
        url: of a storage with made data. A file of SQLite that is not there is made; other storages are filled first
            (:mod:`tests.bench.made_sql`).
        events: of a file that is made.
    """

    def __init__(self, url: str, *, events: int = made.EVENTS) -> None:
        is_new = url.startswith(_FILE) and not Path(url.removeprefix(_FILE)).exists()
        if is_new:
            sessions = max(1, events * made.SESSIONS // made.EVENTS)
            made.fill(Path(url.removeprefix(_FILE)), events=events, sessions=sessions)
        self.org_id = made.organisations()[0].org_id
        self.analytics = Analytics(storage=url, tokens=[PrivateToken(PRIVATE, org_id=self.org_id)])
        self.app: Any = self.analytics.wsgi()
        self.storage: Any = self.analytics.find_parts().storage
        self.slack = _SLACK.get(url.partition(":")[0].partition("+")[0], 1.0)
        if is_new:
            figures_of(self.storage).rebuild()

    def environ(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """A request."""
        headers = {"Authorization": f"Bearer {PRIVATE}"}
        return environ_of("GET", f"/api/analytics/{path}", urlencode(parameters), headers, b"")

    def ask(self, path: str, **parameters: Any) -> Reply:
        """Ask once. The answer is 200."""
        reply = call_wsgi(self.app, self.environ(path, parameters))
        assert reply.status == 200, reply.body
        return reply

    def close(self) -> None:
        """Close the storage."""
        self.analytics.close()
