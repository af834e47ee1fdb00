"""How long the answers take on made data: 10,000,000 events of 500,000 sessions in 3 years, 5 organisations.

Asked through the WSGI door by the largest of the organisations, which has three tenths of the events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.bench import lists, made
from tk_analytics_mw import Analytics, PrivateToken
from tk_analytics_mw.storage.sqlite.summaries import Summaries

TOKEN = "prv-of-the-bench-0001"
LAST_DAY = made.UNTIL.date() - timedelta(days=1)
FIRST_DAY = LAST_DAY - timedelta(days=365 * made.YEARS)


class Question(NamedTuple):
    """What is asked, and how long the answer may take."""

    text: str
    path: str
    parameters: dict[str, str]
    aim: float
    """Milliseconds, of 95 answers in 100."""


def last(days: int) -> dict[str, str]:
    """The last days of the data."""
    return {"startDate": str(LAST_DAY - timedelta(days=days - 1)), "endDate": str(LAST_DAY)}


QUESTIONS = [
    Question("views by day over a year", "events/views", last(365), 50),
    Question("views by month over everything", "events/views", {"range": "month"}, 50),
    Question("breakdown by asset over 90 days", "events/breakdown", {"by": "assetId", **last(90)}, 300),
    Question("funnel over 30 days", "events/funnel", last(30), 1_000),
]


class Door:
    """The API over a made file.

    Args:
        path: of the file.
        org_id: who asks.
    """

    def __init__(self, path: Path, org_id: str) -> None:
        self.analytics = Analytics(storage=f"sqlite:///{path}", tokens=[PrivateToken(TOKEN, org_id=org_id)])
        self._app = self.analytics.wsgi()
        self._org_id = org_id

    def warm_up(self) -> None:
        """Sum up all days, as those who asked before us did."""
        storage: Any = self.analytics.find_parts().storage
        summaries: Summaries = storage.figures._summaries
        summaries.prepare(self._org_id, str(FIRST_DAY), str(LAST_DAY), seconds=inf, faster=1)

    def ask(self, path: str, parameters: dict[str, str]) -> Any:
        """Give the answer.

        Raises:
            RuntimeError: it is not 200.
        """
        statuses: list[str] = []
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": f"/api/analytics/{path}",
            "QUERY_STRING": urlencode(parameters),
            "SERVER_NAME": "bench",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "HTTP_AUTHORIZATION": f"Bearer {TOKEN}",
        }
        body = b"".join(self._app(environ, lambda status, headers: statuses.append(status)))
        if not statuses[0].startswith("200"):
            raise RuntimeError(f"{path} {parameters}: {statuses[0]} {body.decode()}")
        return json.loads(body)


@contextmanager
def door_to(path: Path, *, events: int) -> Iterator[Door]:
    """The largest organisation's door to made data; the file is made if it is not there."""
    if not path.exists():
        made.fill(path, events=events, sessions=max(1, events * made.SESSIONS // made.EVENTS))
    door = Door(path, made.organisations()[0].org_id)
    yield door
    door.analytics.close()


def measure(path: Path, *, rounds: int, events: int = made.EVENTS) -> list[tuple[str, float, str]]:
    """What the table has of it: the question, the time within which 95 of 100 answers came in ms, and the aim."""
    with door_to(path, events=events) as door:
        door.warm_up()
        times: dict[str, list[float]] = {question.text: [] for question in QUESTIONS}
        for _ in range(20 * rounds):
            for question in QUESTIONS:
                started = time.perf_counter()
                door.ask(question.path, question.parameters)
                times[question.text].append((time.perf_counter() - started) * 1e3)
    return [
        (f"{question.text}: ms, p95", sorted(times[question.text])[int(0.95 * 20 * rounds) - 1], f"≤ {question.aim:g}")
        for question in QUESTIONS
    ] + lists.measure(path)
