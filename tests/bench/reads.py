"""How long the answers take on made data: 10,000,000 events of 500,000 sessions in 3 years, 5 organisations.

Asked through the WSGI door by the largest of the organisations, which has three tenths of the events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.bench import made
from tk_analytics_mw import Analytics, PrivateToken

TOKEN = "prv-of-the-bench-0001"
LAST_DAY = made.UNTIL.date() - timedelta(days=1)
WARM_UP_DAYS = 5
"""Summed up within one question."""


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
        for before in range(0, 365 * made.YEARS, WARM_UP_DAYS):
            day = LAST_DAY - timedelta(days=before)
            dates = {"startDate": str(day - timedelta(days=WARM_UP_DAYS)), "endDate": str(day)}
            door.ask("events/breakdown", {"by": "assetId", **dates})
        times: dict[str, list[float]] = {question.text: [] for question in QUESTIONS}
        for _ in range(20 * rounds):
            for question in QUESTIONS:
                started = time.perf_counter()
                door.ask(question.path, question.parameters)
                times[question.text].append((time.perf_counter() - started) * 1e3)
    return [
        (f"{question.text}: ms, p95", sorted(times[question.text])[int(0.95 * 20 * rounds) - 1], f"≤ {question.aim:g}")
        for question in QUESTIONS
    ]
