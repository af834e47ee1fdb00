"""How long the answers take on made data: 10,000,000 events of 500,000 sessions in 3 years, 5 organisations.

Of figures: lists are in :mod:`tests.bench.lists`.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import NamedTuple

from tests.bench import made
from tests.bench.door import Door

LAST_DAY = made.UNTIL.date() - timedelta(days=1)


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


def measure(door: Door, *, rounds: int) -> list[tuple[str, float, str]]:
    """What the table has of it: the question, the time within which 95 of 100 answers came in ms, and the aim."""
    times: dict[str, list[float]] = {question.text: [] for question in QUESTIONS}
    for _ in range(20 * rounds):
        for question in QUESTIONS:
            started = time.perf_counter()
            door.ask(question.path, **question.parameters)
            times[question.text].append((time.perf_counter() - started) * 1e3)
    return [
        (
            f"{question.text}: ms, p95",
            sorted(times[question.text])[int(0.95 * 20 * rounds) - 1],
            f"≤ {door.slack * question.aim:g}",
        )
        for question in QUESTIONS
    ]
