"""The charts of ``examples/reports.py``: of a running shop, and as the API says."""

from __future__ import annotations

import importlib.util
import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType

import pytest

from tests.serving import serving
from tk_analytics_mw import EventType
from tk_analytics_mw.endpoints.funnel import STEPS
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.testing.making import an_event

EXAMPLES = Path(__file__).parents[2] / "examples"
REPORTS = EXAMPLES / "reports.py"
SHOP = EXAMPLES / "flask_shop" / "app.py"
TOKEN = "prv-demo-e83d06b72f15"
DAYS = 40
SESSIONS = 300


def fill(path: Path) -> None:
    """Sessions of the last days, each of which went some steps."""
    source = random.Random(1)
    storage = SqliteStorage(path, durability="relaxed")
    now = datetime.now(timezone.utc)
    number = 0
    for session in range(SESSIONS):
        moment = now - timedelta(days=source.randrange(DAYS - 1), minutes=source.randrange(60, 600))
        events = []
        for event_type in STEPS[: source.choices(range(1, 6), (10, 20, 40, 20, 10))[0]]:
            number += 1
            moment += timedelta(seconds=source.randrange(1, 300))
            events.append(an_event(number, created_at=moment, event_type=event_type.value, session_id=f"s-{session}"))
        storage.write(events)
    storage.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the API of a shop is."""
    folder = tmp_path_factory.mktemp("shop")
    fill(folder / "analytics.db")
    with serving("flask", "--app", str(SHOP), "run", "--port", "{port}", folder=folder) as (host, port):
        yield f"http://{host}:{port}/api/analytics"


@pytest.fixture(scope="module")
def reports() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reports", REPORTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(*options: str, token: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ANALYTICS_TOKEN"}
    environment |= {"ANALYTICS_TOKEN": token} if token is not None else {}
    words = [sys.executable, str(REPORTS), *options]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_charts_are_written(shop: str, tmp_path: Path) -> None:
    done = draw(shop, "--days", str(DAYS), "--timezone", "Europe/Berlin", "--into", str(tmp_path), token=TOKEN)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["daily_views.png", "funnel.png"]
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n")
        width, height = struct.unpack(">II", content[16:24])
        assert width == 1350
        assert height > 600
        assert len(content) > 20_000, "more than an empty page"


def test_what_the_funnel_draws_is_what_the_api_says(shop: str, reports: ModuleType) -> None:
    answer = reports.ask(shop, TOKEN, "events/funnel")
    counts = [step["sessions"] for step in answer["steps"]]
    assert counts == sorted(counts, reverse=True)
    assert 0 < counts[-1] < counts[0]
    [axes] = reports.draw_funnel(answer, "this month").axes
    before, reached = axes.containers
    assert [bar.get_width() for bar in reached] == counts
    assert [bar.get_width() for bar in before] == [counts[0], *counts[:-1]]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        step.value.removeprefix("product ") for step in STEPS
    ]
    texts = [text.get_text() for text in axes.texts]
    assert [text.split(" · ")[0] for text in texts] == [f"{count:,}" for count in counts]
    assert texts[-1].split(" · ")[1] == f"{counts[-1] / counts[0]:.1%} of all"
    assert axes.get_xlabel() == "sessions"


def test_what_is_drawn_of_the_days_is_what_the_api_says(shop: str, reports: ModuleType) -> None:
    answer = reports.ask(shop, TOKEN, "events/views", range="day")
    counts = [day["views"] for day in answer["views"]]
    assert sum(counts) > SESSIONS
    figure = reports.draw_views(answer, "until today")
    [axes] = figure.axes
    assert [bar.get_height() for bar in axes.containers[0]] == counts
    [means] = axes.lines
    assert means.get_ydata()[-1] == pytest.approx(sum(counts[-7:]) / 7)
    assert f"{sum(counts):,} events, until today (UTC)" in [text.get_text() for text in figure.texts]
    assert axes.get_ylabel() == "events"


def test_a_shop_without_events_can_be_drawn(reports: ModuleType) -> None:
    nothing = {"sessions": 0, "conversion": None, "medianSeconds": None}
    steps = [{"eventType": step, **nothing} for step in (EventType.SESSION_START, EventType.ORDERED)]
    [axes] = reports.draw_funnel({"steps": steps}, "today").axes
    assert [text.get_text() for text in axes.texts] == ["0", "0"]
    views = {"views": [{"year": 2026, "month": 1, "day": 2, "views": 0}], "timezone": "UTC"}
    [axes] = reports.draw_views(views, "today").axes
    assert [bar.get_height() for bar in axes.containers[0]] == [0]


def test_who_may_not_ask_is_told(shop: str, tmp_path: Path) -> None:
    refused = draw(shop, "--into", str(tmp_path), token="prv-of-nobody")
    assert refused.returncode == 1
    assert refused.stderr.startswith("The API says 401: ")
    assert "ANALYTICS_TOKEN" in draw(shop, token=None).stderr
    assert [*tmp_path.iterdir()] == []
