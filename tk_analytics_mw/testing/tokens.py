"""Keeping tokens: the tests of :class:`~tk_analytics_mw.storage.tokens.TokenStorage`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

import pytest

from tk_analytics_mw.storage.tokens import StoredToken, TokenStorage
from tk_analytics_mw.testing.opened import Opened, OpenStorage

NOW: Final = datetime(2026, 11, 24, 12, 0, 0, 123_000, tzinfo=timezone.utc)
HOUR: Final = timedelta(hours=1)


def a_token(number: int, **fields: object) -> StoredToken:
    """A token, ``number`` hours younger than the first."""
    made = StoredToken(f"private-{number}", bytes([number]) * 32, "private", "acme", (), "erp", NOW + number * HOUR)
    return replace(made, **fields)  # type: ignore[arg-type]


class TokenSuite(Opened):
    """``tokens``: they come back as they were given, end once and for all, in every process."""

    protocol = TokenStorage

    def test_tokens_come_back_as_they_were_given_the_oldest_first(self, storage: Any, another: OpenStorage) -> None:
        page = a_token(2, kind="public", domains=("a.example", "*.b.example"), label="Größe 🛒 '%s'")
        dated = a_token(1, expires_at=NOW + 9 * HOUR, org_id="Acme")
        storage.tokens.add(page)
        storage.tokens.add(dated)
        assert storage.tokens.tokens() == another().tokens.tokens() == [dated, page]

    def test_one_that_takes_the_place_of_another_ends_it(self, storage: Any) -> None:
        storage.tokens.add(a_token(1))
        ending = replace(a_token(1), expires_at=NOW + 9 * HOUR)
        storage.tokens.add(a_token(2, rotated_from="private-1"), ending=ending)
        assert storage.tokens.tokens() == [ending, a_token(2, rotated_from="private-1")]

    def test_the_same_token_is_not_kept_twice_and_nothing_else_happens_then(self, storage: Any) -> None:
        storage.tokens.add(a_token(1))
        storage.tokens.add(a_token(2))
        with pytest.raises(Exception):
            storage.tokens.add(
                replace(a_token(3), digest=a_token(1).digest), ending=replace(a_token(2), expires_at=NOW + HOUR)
            )
        assert storage.tokens.tokens() == [a_token(1), a_token(2)]

    def test_a_token_is_revoked_once_for_every_process(self, storage: Any, another: OpenStorage) -> None:
        for number in (1, 2, 3):
            storage.tokens.add(a_token(number))
        storage.tokens.add(a_token(4, expires_at=NOW + 4 * HOUR))
        moment = NOW + 5 * HOUR
        assert another().tokens.revoke(["private-2", "private-4", "nobody"], now=moment) == 1, "4 had ended before"
        assert storage.tokens.revoke(["private-2"], now=moment + HOUR) == 0
        [_, revoked, *_] = storage.tokens.tokens()
        assert revoked == a_token(2, revoked_at=moment)

    def test_those_that_ended_long_ago_are_left_out_when_asked(self, storage: Any) -> None:
        storage.tokens.add(a_token(1, expires_at=NOW + 9 * HOUR))
        storage.tokens.add(a_token(2))
        storage.tokens.add(a_token(3))
        storage.tokens.revoke(["private-2"], now=NOW + 5 * HOUR)
        for hours, numbers in ((4, [1, 2, 3]), (6, [1, 3]), (10, [3])):
            found = storage.tokens.tokens(ended_after=NOW + hours * HOUR)
            assert [each.id for each in found] == [f"private-{number}" for number in numbers]

    def test_the_last_day_of_use_is_kept(self, storage: Any) -> None:
        storage.tokens.add(a_token(1))
        for day in (date(2026, 11, 24), date(2026, 11, 25), date(2026, 11, 23)):
            storage.tokens.note_use("private-1", day)
        storage.tokens.note_use("nobody", date(2026, 11, 24))
        assert [each.last_used for each in storage.tokens.tokens()] == [date(2026, 11, 25)]
