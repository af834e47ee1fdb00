"""The outbox of a storage: deliveries are written with their events, claimed once, settled, and looked after."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.making import an_event
from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.identifiers import new_event_id
from tk_analytics_mw.storage.outbox import Counts, Delivery, DeliveryQuery, DurableStorage, Outcome, Subscription
from tk_analytics_mw.storage.sqlite import SqliteStorage

MAIL = Subscription("mail", frozenset({"product ordered"}))
ALL = Subscription("all")
NOW = 1_800_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "analytics.db"


@pytest.fixture
def storage(path: Path) -> Iterator[DurableStorage]:
    made: DurableStorage = SqliteStorage(path)
    yield made
    made.close()


def claim(
    storage: DurableStorage, name: str = "mail", *, owner: str = "me", now: float = NOW, ordered: bool = False, limit=10
) -> list[Delivery]:
    return storage.outbox.claim(name, owner=owner, limit=limit, now=now, until=now + 60, ordered=ordered)


def ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.event.id for delivery in deliveries]


def settle(storage: DurableStorage, deliveries: list[Delivery], state="delivered", *, owner="me", **more) -> None:
    outcomes = [Outcome(delivery, state, **more) for delivery in deliveries]
    storage.outbox.settle(owner, outcomes, now=NOW)


def test_an_event_is_delivered_to_each_subscription_that_wants_its_type(storage: DurableStorage) -> None:
    ordered, other = an_event("e-1"), an_event("e-2", event_type="product cart-add")
    storage.write([ordered, other], [MAIL, ALL])
    [mail] = claim(storage)
    assert (mail.id, mail.name, mail.event, mail.attempt) == ("mail:e-1", "mail", ordered, 1)
    assert ids(claim(storage, "all")) == ["e-1", "e-2"]
    assert claim(storage, "nobody") == []


def test_without_subscriptions_there_are_no_deliveries(storage: DurableStorage) -> None:
    storage.write([an_event("e-1")])
    storage.write([an_event("e-2")], [])
    assert storage.outbox.find(DeliveryQuery(), limit=10) == []


def test_deliveries_come_in_the_order_of_commits_whatever_the_ids(storage: DurableStorage) -> None:
    storage.write([an_event("e-3"), an_event("e-1")], [MAIL])
    storage.write([an_event("e-2")], [MAIL])
    assert ids(claim(storage, limit=2)) == ["e-3", "e-1"]
    assert ids(claim(storage)) == ["e-2"]


def test_what_is_claimed_is_claimed_by_nobody_else_until_the_lease_ends(storage: DurableStorage) -> None:
    storage.write([an_event("e-1"), an_event("e-2")], [MAIL])
    assert ids(claim(storage, limit=1)) == ["e-1"]
    assert ids(claim(storage, owner="other")) == ["e-2"]
    assert claim(storage, owner="third", now=NOW + 59) == []
    assert ids(claim(storage, owner="third", now=NOW + 60)) == ["e-1"]


def test_what_a_dead_deliverer_left_is_taken_over_one_by_one_its_lost_attempt_counted(storage: DurableStorage) -> None:
    """Should one of them be what kills deliverers, it takes no others along."""
    storage.write([an_event(f"e-{number}") for number in range(3)], [MAIL])
    first = claim(storage)
    [again] = claim(storage, owner="other", now=NOW + 61)
    assert (again.id, again.attempt) == (first[0].id, 2)
    assert again.first_tried_at == first[0].first_tried_at
    assert ids(claim(storage, owner="third", now=NOW + 61)) == ["e-1"]


def test_a_lease_that_is_renewed_goes_on(storage: DurableStorage) -> None:
    storage.write([an_event("e-1")], [MAIL])
    held = claim(storage)
    storage.outbox.renew("me", until=NOW + 120)
    storage.outbox.renew("somebody else", until=NOW)
    assert claim(storage, owner="other", now=NOW + 100) == []
    settle(storage, held)
    assert claim(storage, owner="other", now=NOW + 1000) == []


def test_an_owner_who_has_lost_its_lease_settles_nothing(storage: DurableStorage) -> None:
    storage.write([an_event("e-1")], [MAIL])
    late = claim(storage)
    claim(storage, owner="other", now=NOW + 61)
    settle(storage, late)
    assert [row.state for row in storage.outbox.find(DeliveryQuery(), limit=10)] == ["running"]
    assert storage.outbox.counts().get("mail", Counts()).delivered == 0


def test_a_failed_one_comes_again_when_it_is_due_and_before_new_ones(storage: DurableStorage) -> None:
    storage.write([an_event("e-1"), an_event("e-2")], [MAIL])
    settle(storage, claim(storage, limit=1), "retrying", error="OSError: away", due_at=NOW + 30)
    assert ids(claim(storage, now=NOW + 29, limit=1)) == ["e-2"]
    storage.write([an_event("e-3")], [MAIL])
    [again, fresh] = claim(storage, owner="later", now=NOW + 30, limit=2)
    assert (again.event.id, again.attempt, fresh.event.id) == ("e-1", 2, "e-3")


def test_new_ones_are_not_starved_by_those_that_failed(storage: DurableStorage) -> None:
    storage.write([an_event(f"e-{number}") for number in range(8)], [MAIL])
    settle(storage, claim(storage), "retrying", due_at=NOW)
    storage.write([an_event(f"f-{number}") for number in range(8)], [MAIL])
    assert sum(id_.startswith("f") for id_ in ids(claim(storage, limit=4))) == 2


def test_in_order_nothing_overtakes_one_that_runs_or_waits_for_its_next_attempt(storage: DurableStorage) -> None:
    storage.write([an_event("e-1"), an_event("e-2")], [MAIL])
    first = claim(storage, ordered=True, limit=1)
    assert claim(storage, owner="other", ordered=True) == []
    settle(storage, first, "retrying", due_at=NOW + 30)
    assert claim(storage, owner="other", ordered=True, now=NOW + 29) == []
    again = claim(storage, owner="me", ordered=True, now=NOW + 31)
    assert ids(again) == ["e-1"]
    settle(storage, again)
    assert ids(claim(storage, owner="other", ordered=True, now=NOW + 31)) == ["e-2"]


def test_what_was_claimed_and_not_tried_is_given_back_as_it_was(storage: DurableStorage) -> None:
    storage.write([an_event("e-1"), an_event("e-2")], [MAIL])
    settle(storage, claim(storage, limit=1), "retrying", error="x", due_at=NOW)
    claim(storage)
    storage.outbox.release("me")
    assert [(each.event.id, each.attempt) for each in claim(storage, owner="other")] == [("e-1", 2), ("e-2", 1)]


def test_a_repeated_event_is_not_delivered_again(storage: DurableStorage) -> None:
    event = an_event("e-1", idempotency_key="k")
    storage.write([event], [MAIL])
    storage.write([event], [MAIL])
    storage.write([an_event("e-2", idempotency_key="k")], [MAIL])
    assert ids(claim(storage)) == ["e-1"]


def test_an_event_that_cannot_be_stored_is_not_delivered(storage: DurableStorage, path: Path) -> None:
    storage.write([an_event("e-0")], [MAIL])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        storage.write([an_event("e-1")], [MAIL])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id FROM events").fetchall() == [("e-0",)], "neither without the other"


THE_PAST = [f"e-{number:04}" for number in range(2500)]


@pytest.mark.parametrize(("since", "expected"), [("now", ["f-0"]), ("all", [*THE_PAST, "f-0"])])
def test_a_later_subscription_starts_from_now_or_from_the_beginning(
    storage: DurableStorage, since, expected: list[str]
) -> None:
    storage.write([an_event(id_) for id_ in THE_PAST])
    storage.write([an_event("other", event_type="product cart-add")])
    late = Subscription("mail", frozenset({"product ordered"}), since)
    storage.write([an_event("f-0")], [late])
    slices = 1
    while storage.outbox.enroll(late, now=NOW):
        slices += 1
    assert slices == (3 if since == "all" else 1)
    assert storage.outbox.enroll(late, now=NOW) is False
    assert ids(claim(storage, limit=10_000)) == expected


def test_a_subscription_that_is_switched_off_keeps_what_waits(storage: DurableStorage) -> None:
    storage.outbox.enroll(MAIL, now=NOW)
    storage.write([an_event("e-1")], [MAIL])
    storage.outbox.switch("mail", off="410 Gone")
    storage.write([an_event("e-2")], [MAIL])
    assert claim(storage) == []
    assert storage.outbox.counts()["mail"].off == "410 Gone"
    storage.outbox.switch("mail", off=None)
    assert ids(claim(storage)) == ["e-1", "e-2"]


def test_counts_tell_how_each_subscription_stands(storage: DurableStorage) -> None:
    storage.outbox.enroll(MAIL, now=NOW)
    storage.outbox.enroll(ALL, now=NOW)
    events = [an_event(new_event_id()[0]) for _ in range(6)]
    storage.write(events, [MAIL, Subscription("orphan")])
    batch = claim(storage)
    for delivery, state in zip(batch, ["delivered", "delivered", "discarded", "dead", "retrying"], strict=False):
        settle(storage, [delivery], state, due_at=NOW + 5 if state == "retrying" else None)
    assert storage.outbox.counts() == {
        "all": Counts(),
        "mail": Counts(pending=2, failed=1, delivered=2, discarded=1, dead=1, oldest_event=events[4].id),
        "orphan": Counts(pending=6, oldest_event=events[0].id),
    }


def test_deliveries_are_found_by_name_event_state_and_age(storage: DurableStorage) -> None:
    storage.write([an_event("e-1"), an_event("e-2"), an_event("e-3")], [MAIL, ALL])
    settle(storage, claim(storage, limit=1), "dead", error="ValueError: no")
    find = storage.outbox.find

    def found(**query) -> list[str]:
        return [row.id for row in find(DeliveryQuery(**query), limit=10)]

    assert found(name="mail") == ["mail:e-3", "mail:e-2", "mail:e-1"]
    assert sorted(found(event_id="e-2")) == ["all:e-2", "mail:e-2"]
    assert found(states=("dead",)) == ["mail:e-1"]
    assert found(id="all:e-3") == ["all:e-3"]
    assert sorted(found(before="e-2")) == ["all:e-1", "mail:e-1"]
    assert len(find(DeliveryQuery(), limit=2)) == 2
    [dead] = find(DeliveryQuery(id="mail:e-1"), limit=10)
    assert (dead.state, dead.attempts, dead.error, dead.settled_at) == ("dead", 1, "ValueError: no", NOW)


def test_what_is_replayed_begins_anew(storage: DurableStorage) -> None:
    storage.write([an_event("e-1"), an_event("e-2"), an_event("e-3")], [MAIL])
    one, two, _three = claim(storage)
    settle(storage, [one], "dead", error="x")
    settle(storage, [two])
    assert storage.outbox.replay(DeliveryQuery(name="mail")) == 2, "not the one that runs"
    again = claim(storage, owner="other", now=NOW + 1)
    assert [(each.event.id, each.attempt) for each in again] == [("e-1", 1), ("e-2", 1)]


def test_what_is_discarded_is_delivered_no_more(storage: DurableStorage) -> None:
    storage.outbox.enroll(MAIL, now=NOW)
    storage.write([an_event("e-1"), an_event("e-2"), an_event("e-3")], [MAIL])
    settle(storage, claim(storage, limit=1), "dead")
    assert storage.outbox.discard(DeliveryQuery(before="e-3"), why="test orders", now=NOW) == 2
    assert ids(claim(storage)) == ["e-3"]
    assert storage.outbox.counts()["mail"].discarded == 2
    [row] = storage.outbox.find(DeliveryQuery(id="mail:e-1"), limit=1)
    assert (row.state, row.error) == ("discarded", "test orders")


def test_settled_deliveries_are_forgotten_by_age_and_dead_or_waiting_ones_never(storage: DurableStorage) -> None:
    storage.write([an_event(f"e-{number}") for number in range(5)], [MAIL])
    batch = claim(storage, limit=4)
    settle(storage, batch[:2])
    settle(storage, batch[2:3], "dead")
    assert storage.outbox.forget(before=NOW, limit=10) == 0
    assert storage.outbox.forget(before=NOW + 1, limit=1) == 1
    assert storage.outbox.forget(before=NOW + 1, limit=10) == 1
    assert [row.state for row in storage.outbox.find(DeliveryQuery(), limit=10)] == ["pending", "running", "dead"]


def test_a_delivery_whose_event_was_deleted_by_hand_holds_up_no_other(storage: DurableStorage, path: Path) -> None:
    storage.write([an_event("e-1"), an_event("e-2")], [MAIL])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM events WHERE id = 'e-1'")
    assert ids(claim(storage)) == ["e-2"]
    assert [row.id for row in storage.outbox.find(DeliveryQuery(), limit=10)] == ["mail:e-2"]


def test_many_who_claim_at_once_share_the_deliveries_out(storage: DurableStorage, path: Path) -> None:
    storage.write([an_event(f"e-{number:03}") for number in range(300)], [MAIL])
    others = [SqliteStorage(path) for _ in range(3)]
    found: list[str] = []

    def take(which: SqliteStorage, owner: str) -> None:
        while batch := claim(which, owner=owner, limit=7):
            found.extend(ids(batch))

    threads = [threading.Thread(target=take, args=(each, f"o-{number}")) for number, each in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in others:
        each.close()
    assert sorted(found) == [f"e-{number:03}" for number in range(300)]


def test_a_storage_that_is_away_says_so(tmp_path: Path) -> None:
    path = tmp_path / "analytics.db"
    path.write_bytes(b"no database" * 1000)
    storage = SqliteStorage(path, busy_timeout=0.05)
    for ask in (
        lambda: claim(storage),
        storage.outbox.counts,
        lambda: storage.outbox.enroll(MAIL, now=NOW),
        lambda: storage.outbox.switch("mail", off=None),
    ):
        with pytest.raises(StorageUnavailable):
            ask()
