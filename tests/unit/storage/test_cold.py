"""What nobody has asked before takes longer, and comes to an end."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.bench.made import YEARS, fill, organisations
from tests.hosts.base import PRIVATE, Reply
from tests.hosts.wsgi_face import call_wsgi, environ_of
from tk_analytics_mw import Analytics, PrivateToken
from tk_analytics_mw.storage.sqlite import figures, summaries
from tk_analytics_mw.storage.sqlite.postings import SEGMENT

MADE = 2 * SEGMENT + 100
DAYS = 365 * YEARS
BREAKDOWN = "by=assetId&startDate=2023-01-01&endDate=2026-12-31"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fill(tmp_path / "analytics.db", events=MADE, sessions=MADE // 20)
    return tmp_path / "analytics.db"


@pytest.fixture
def analytics(path: Path) -> Iterator[Analytics]:
    tokens = [PrivateToken(PRIVATE, org_id=organisations()[0].org_id)]
    analytics = Analytics(storage=f"sqlite:///{path}", tokens=tokens, durability="relaxed")
    yield analytics
    analytics.close()


def ask(analytics: Analytics, below: str, query: str) -> Reply:
    headers = {"Authorization": f"Bearer {PRIVATE}"}
    return call_wsgi(analytics.wsgi(), environ_of("GET", f"/api/analytics/{below}", query, headers, b""))


def count(path: Path, select: str) -> Any:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(select).fetchone()[0]


def test_a_long_question_is_answered_when_it_has_been_asked_often_enough(
    analytics: Analytics, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = ask(analytics, "events/breakdown", BREAKDOWN).json
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM summed_days")
    # Days that take seconds on ten million events take some milliseconds here.
    monkeypatch.setattr(figures, "SUMMING", 0.0)
    monkeypatch.setattr(summaries, "READ_SECONDS", 0.02)
    monkeypatch.setattr(summaries, "SAFE", 0.0)
    summed = [0]
    while (reply := ask(analytics, "events/breakdown", BREAKDOWN)).status == 503:
        assert reply.headers["retry-after"] == "1"
        [percent] = re.findall(r"(\d+)% of what it needs is counted now, and kept: ask again", reply.json["detail"])
        summed.append(count(path, "SELECT count(*) FROM summed_days"))
        assert summed[-1] > summed[-2], "each one comes further"
        assert int(percent) == pytest.approx(100 * summed[-1] / DAYS, abs=5)
    assert len(summed) > 1, "there was something to wait for"
    assert (reply.status, reply.json) == (200, right)


def test_a_question_whose_rest_is_short_is_answered_at_once(
    analytics: Analytics, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "SUMMING", 0.0)
    assert ask(analytics, "events/breakdown", BREAKDOWN).status == 200
    assert 0 < count(path, "SELECT count(*) FROM summed_days") < DAYS // 2


def test_after_a_rebuild_nothing_is_cold(analytics: Analytics, path: Path) -> None:
    told: list[tuple[int, int]] = []
    analytics.figures.rebuild(lambda done, of: told.append((done, of)))
    days = count(path, "SELECT count(*) FROM summed_days WHERE token IS NULL")
    assert count(path, "SELECT count(*) FROM segments WHERE ready") == MADE // SEGMENT
    assert told == sorted(told)
    assert told[-1] == (days + MADE // SEGMENT, days + MADE // SEGMENT)
    assert {of for _, of in told} == {days + MADE // SEGMENT}
    written = count(path, "SELECT total(look) FROM segments"), count(path, "SELECT count(*) FROM day_totals")
    for below, query in (("events/breakdown", BREAKDOWN), ("events", "sessionId=nobody"), ("events/views", "")):
        assert json.loads(ask(analytics, below, query).body)
    assert written == (
        count(path, "SELECT total(look) FROM segments"),
        count(path, "SELECT count(*) FROM day_totals"),
    ), "nobody had to prepare anything"
