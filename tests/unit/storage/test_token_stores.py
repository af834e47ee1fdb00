"""What every storage's tokens do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.storage.tokens import StoredToken, TokenStorage, TokenStore

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", "memory"])
def tokens(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TokenStore]:
    made: TokenStorage = MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "analytics.db")
    yield made.tokens
    made.close()


def token(number: int, **fields: object) -> StoredToken:
    made = StoredToken(f"private-{number}", bytes([number]) * 32, "private", "acme", (), "erp", NOW + number * HOUR)
    return replace(made, **fields)  # type: ignore[arg-type]


def test_tokens_come_back_the_oldest_first_and_end_once(tokens: TokenStore) -> None:
    page = token(2, kind="public", domains=("a.example",))
    tokens.add(page)
    tokens.add(token(1))
    ending = replace(token(1), expires_at=NOW + 9 * HOUR)
    tokens.add(token(3, rotated_from="private-1"), ending=ending)
    assert tokens.tokens() == [
        ending,
        token(2, kind="public", domains=("a.example",)),
        token(3, rotated_from="private-1"),
    ]
    assert tokens.revoke(["private-2", "nobody"], now=NOW + 5 * HOUR) == 1
    assert tokens.revoke(["private-2"], now=NOW + 6 * HOUR) == 0
    assert [each.id for each in tokens.tokens(ended_after=NOW + 4 * HOUR)] == ["private-1", "private-2", "private-3"]
    assert [each.id for each in tokens.tokens(ended_after=NOW + 6 * HOUR)] == ["private-1", "private-3"]
    assert [each.id for each in tokens.tokens(ended_after=NOW + 10 * HOUR)] == ["private-3"]


def test_the_last_day_of_use_is_kept(tokens: TokenStore) -> None:
    tokens.add(token(1))
    for day in (date(2026, 11, 24), date(2026, 11, 25), date(2026, 11, 23)):
        tokens.note_use("private-1", day)
    tokens.note_use("nobody", date(2026, 11, 24))
    assert [each.last_used for each in tokens.tokens()] == [date(2026, 11, 25)]
