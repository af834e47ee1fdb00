"""What a process knows of the stored tokens, and when it looks: a clock in the hand, a real database behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tk_analytics_mw.auth.stored import FRESH, READ_EVERY, STALE, Look, StoredTokens, is_well_formed, new_token
from tk_analytics_mw.auth.tokens import digest_of
from tk_analytics_mw.errors import ConfigurationError, Refused
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.storage.sqlite import tokens as sqlite_tokens
from tk_analytics_mw.storage.tokens import StoredToken

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counting:
    """The tokens of a storage, and how often each of its methods was called."""

    def __init__(self, storage: SqliteStorage) -> None:
        self.storage = storage
        self.reads = 0
        self.notes = 0

    def tokens(self, **options: Any) -> list[StoredToken]:
        self.reads += 1
        return self.storage.tokens.tokens(**options)

    def note_use(self, *args: Any) -> None:
        self.notes += 1
        self.storage.tokens.note_use(*args)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SqliteStorage]:
    made = SqliteStorage(tmp_path / "analytics.db", busy_timeout=0.2)
    yield made
    made.close()


@pytest.fixture
def store(storage: SqliteStorage) -> Counting:
    return Counting(storage)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(store: Counting, clock: Clock) -> StoredTokens:
    return StoredTokens(store, clock=clock)  # type: ignore[arg-type]


def keep(storage: SqliteStorage, text: str, **changes: Any) -> StoredToken:
    digest = digest_of(text)
    values: dict[str, Any] = {
        "id": f"private-{digest.hex()[:8]}",
        "digest": digest,
        "kind": "private",
        "org_id": "acme",
        "domains": (),
        "label": "",
        "created_at": NOW,
    }
    made = StoredToken(**{**values, **changes})
    storage.tokens.add(made)
    return made


def ask(tokens: StoredTokens, text: str) -> str | None:
    """The organisation of a token, found as a request finds it."""
    found = tokens.find(text, digest_of(text), looked=False)
    if isinstance(found, Look):
        found.take()
        found = tokens.find(text, digest_of(text), looked=True)
    assert not isinstance(found, Look)
    return None if found is None or found.revoked else found.principal.org_id


def test_tokens_are_made_as_secret_scanners_know_them() -> None:
    for kind, prefix in (("public", "tka_pub_"), ("private", "tka_prv_")):
        made = {new_token(kind) for _ in range(100)}  # type: ignore[arg-type]
        assert len(made) == 100
        assert all(text.startswith(prefix) and len(text) == 8 + 32 + 6 and is_well_formed(text) for text in made)


def test_the_checksum_finds_every_single_mistake() -> None:
    text = new_token("private")
    for place in range(8, len(text)):
        for other in "0aZ":
            if other != text[place]:
                assert not is_well_formed(text[:place] + other + text[place + 1 :])


def test_what_cannot_be_a_token_is_refused_without_a_look(tokens: StoredTokens, store: Counting) -> None:
    for text in ("", "x", "tka_prv_" + "0" * 38, new_token("private")[:-1], "tka_prv_" + "é" * 38):
        assert tokens.find(text, digest_of(text), looked=False) is None
    assert store.reads == 0


def test_unknown_tokens_cannot_make_the_database_work(tokens: StoredTokens, store: Counting, clock: Clock) -> None:
    for _ in range(1000):
        assert ask(tokens, new_token("private")) is None
        clock.now += 0.002
    assert store.reads == 2, "one a second, whoever asks"


def test_a_known_token_takes_no_look_while_what_was_read_is_fresh(
    tokens: StoredTokens, store: Counting, clock: Clock, storage: SqliteStorage
) -> None:
    text = new_token("private")
    keep(storage, text)
    assert ask(tokens, text) == "acme"
    assert (store.reads, store.notes) == (1, 1)
    for _ in range(10):
        clock.now += FRESH / 11
        assert ask(tokens, text) == "acme"
    assert (store.reads, store.notes) == (1, 1)
    clock.now += FRESH
    assert ask(tokens, text) == "acme"
    assert (store.reads, store.notes) == (2, 1)


def test_a_new_token_is_known_a_second_later(tokens: StoredTokens, clock: Clock, storage: SqliteStorage) -> None:
    text = new_token("private")
    assert ask(tokens, text) is None
    keep(storage, text)
    assert ask(tokens, text) is None
    clock.now += READ_EVERY + 0.01
    assert ask(tokens, text) == "acme"


def test_a_revoked_token_is_known_for_one_before_thirty_seconds_are_over(
    tokens: StoredTokens, clock: Clock, storage: SqliteStorage
) -> None:
    text = new_token("private")
    made = keep(storage, text)
    assert ask(tokens, text) == "acme"
    assert storage.tokens.revoke([made.id], now=NOW) == 1
    assert storage.tokens.revoke([made.id], now=NOW) == 0
    assert STALE < 30
    clock.now += FRESH + 0.01
    assert ask(tokens, text) is None


def test_one_request_looks_and_the_others_go_on(tokens: StoredTokens, clock: Clock, storage: SqliteStorage) -> None:
    text = new_token("private")
    keep(storage, text)
    assert ask(tokens, text) == "acme"
    clock.now += FRESH + 1
    look = tokens.find(text, digest_of(text), looked=False)
    assert isinstance(look, Look)
    assert not isinstance(tokens.find(text, digest_of(text), looked=False), Look)
    clock.now += STALE  # should the one who looks never come back
    assert isinstance(tokens.find(text, digest_of(text), looked=False), Look)
    look.take()
    assert not isinstance(tokens.find(text, digest_of(text), looked=False), Look)


def test_when_the_database_cannot_be_asked_what_is_known_counts_for_some_seconds_and_then_nobody_gets_in(
    tokens: StoredTokens, clock: Clock, storage: SqliteStorage, store: Counting
) -> None:
    text = new_token("private")
    keep(storage, text)
    assert ask(tokens, text) == "acme"
    storage.close()
    for path in storage.path.parent.iterdir():
        path.unlink()
    storage.path.write_bytes(b"no database" * 1000)
    clock.now += FRESH + 1
    assert ask(tokens, text) == "acme"
    with pytest.raises(Refused) as refused:
        ask(tokens, new_token("private"))
    assert refused.value.status == 503
    clock.now += STALE
    with pytest.raises(Refused) as refused:
        ask(tokens, text)
    assert refused.value.status == 503
    reads = store.reads
    for _ in range(100):
        with pytest.raises(Refused):
            ask(tokens, new_token("private"))
    assert store.reads == reads, "a database that is in trouble is left alone for a second"


def test_what_ended_long_ago_is_not_read(storage: SqliteStorage) -> None:
    old = keep(storage, new_token("private"), expires_at=NOW - timedelta(days=30))
    recent = keep(storage, new_token("private"), expires_at=NOW - timedelta(days=1))
    live = keep(storage, new_token("private"))
    assert {each.id for each in storage.tokens.tokens()} == {old.id, recent.id, live.id}
    assert {each.id for each in storage.tokens.tokens(ended_after=NOW - timedelta(days=7))} == {recent.id, live.id}


def test_a_token_comes_back_as_it_was_kept(storage: SqliteStorage) -> None:
    made = keep(
        storage,
        new_token("public"),
        kind="public",
        domains=("shop.example.com", "*.example.org"),
        label="web",
        expires_at=NOW,
        revoked_at=NOW,
        last_used=NOW.date(),
        rotated_from="public-00000000",
    )
    assert storage.tokens.tokens() == [made]


def test_there_may_be_only_so_many(storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_tokens, "MAX_LIVE", 2)
    keep(storage, new_token("private"), revoked_at=NOW)
    keep(storage, new_token("private"))
    keep(storage, new_token("private"))
    with pytest.raises(ConfigurationError, match="live tokens"):
        keep(storage, new_token("private"))
