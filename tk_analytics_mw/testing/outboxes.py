"""What a storage with an outbox must do: the tests of :class:`~tk_analytics_mw.DurableStorage`.

Deliveries are written with their events, claimed once, settled, and looked after.
"""

from __future__ import annotations

import threading
from typing import Any, Final, Literal

import pytest

from tk_analytics_mw.identifiers import new_event_id
from tk_analytics_mw.storage.outbox import (
    Counts,
    Delivery,
    DeliveryQuery,
    DurableStorage,
    Outcome,
    Settled,
    Subscription,
    delivery_id,
)
from tk_analytics_mw.testing.making import an_event, event_id, number_of
from tk_analytics_mw.testing.opened import Opened, OpenStorage

MAIL: Final = Subscription("mail", frozenset({"product ordered"}))
ALL: Final = Subscription("all")
NOW: Final = 1_800_000_000.0
THE_PAST: Final = [*range(2500)]
AFTERWARDS: Final = 9999


def claim(
    storage: DurableStorage,
    name: str = "mail",
    *,
    owner: str = "me",
    now: float = NOW,
    ordered: bool = False,
    limit: int = 10,
) -> list[Delivery]:
    """Claim for a minute."""
    return storage.outbox.claim(name, owner=owner, limit=limit, now=now, until=now + 60, ordered=ordered)


def ids(deliveries: list[Delivery]) -> list[int]:
    """The numbers of their events."""
    return [number_of(delivery.event.id) for delivery in deliveries]


def settle(
    storage: DurableStorage, deliveries: list[Delivery], state: Settled = "delivered", *, owner: str = "me", **more: Any
) -> None:
    """Settle them all alike."""
    storage.outbox.settle(owner, [Outcome(delivery, state, **more) for delivery in deliveries], now=NOW)


class OutboxSuite(Opened):
    """``write`` with subscriptions, and ``outbox``: at least once, in the order of commits, one deliverer at a time."""

    protocol = DurableStorage

    def test_an_event_is_delivered_to_each_subscription_that_wants_its_type(self, storage: Any) -> None:
        ordered, other = an_event(1), an_event(2, event_type="product cart-add")
        storage.write([ordered, other], [MAIL, ALL])
        [mail] = claim(storage)
        assert (mail.id, mail.name, mail.event, mail.attempt) == (delivery_id("mail", event_id(1)), "mail", ordered, 1)
        assert ids(claim(storage, "all")) == [1, 2]
        assert claim(storage, "nobody") == []

    def test_without_subscriptions_there_are_no_deliveries(self, storage: Any) -> None:
        storage.write([an_event(1)])
        storage.write([an_event(2)], [])
        assert storage.outbox.find(DeliveryQuery(), limit=10) == []

    def test_deliveries_come_in_the_order_of_commits_whatever_the_ids(self, storage: Any) -> None:
        storage.write([an_event(3), an_event(1)], [MAIL])
        storage.write([an_event(2)], [MAIL])
        assert ids(claim(storage, limit=2)) == [3, 1]
        assert ids(claim(storage)) == [2]

    def test_what_is_claimed_is_claimed_by_nobody_else_until_the_lease_ends(self, storage: Any) -> None:
        storage.write([an_event(1), an_event(2)], [MAIL])
        assert ids(claim(storage, limit=1)) == [1]
        assert ids(claim(storage, owner="other")) == [2]
        assert claim(storage, owner="third", now=NOW + 59) == []
        assert ids(claim(storage, owner="third", now=NOW + 60)) == [1]

    def test_what_a_dead_deliverer_left_is_taken_over_one_by_one_its_lost_attempt_counted(self, storage: Any) -> None:
        """Should one of them be what kills deliverers, it takes no others along."""
        storage.write([an_event(number) for number in range(3)], [MAIL])
        first = claim(storage)
        [again] = claim(storage, owner="other", now=NOW + 61)
        assert (again.id, again.attempt) == (first[0].id, 2)
        assert again.first_tried_at == first[0].first_tried_at
        assert ids(claim(storage, owner="third", now=NOW + 61)) == [1]

    def test_a_lease_that_is_renewed_goes_on(self, storage: Any) -> None:
        storage.write([an_event(1)], [MAIL])
        held = claim(storage)
        storage.outbox.renew("me", until=NOW + 120)
        storage.outbox.renew("somebody else", until=NOW)
        assert claim(storage, owner="other", now=NOW + 100) == []
        settle(storage, held)
        assert claim(storage, owner="other", now=NOW + 1000) == []

    def test_an_owner_who_has_lost_its_lease_settles_nothing(self, storage: Any) -> None:
        storage.write([an_event(1)], [MAIL])
        late = claim(storage)
        claim(storage, owner="other", now=NOW + 61)
        settle(storage, late)
        assert [row.state for row in storage.outbox.find(DeliveryQuery(), limit=10)] == ["running"]
        assert storage.outbox.counts().get("mail", Counts()).delivered == 0

    def test_a_failed_one_comes_again_when_it_is_due_and_before_new_ones(self, storage: Any) -> None:
        storage.write([an_event(1), an_event(2)], [MAIL])
        settle(storage, claim(storage, limit=1), "retrying", error="OSError: away", due_at=NOW + 30)
        assert ids(claim(storage, now=NOW + 29, limit=1)) == [2]
        storage.write([an_event(3)], [MAIL])
        [again, fresh] = claim(storage, owner="later", now=NOW + 30, limit=2)
        assert (number_of(again.event.id), again.attempt, number_of(fresh.event.id)) == (1, 2, 3)

    def test_new_ones_are_not_starved_by_those_that_failed(self, storage: Any) -> None:
        storage.write([an_event(number) for number in range(8)], [MAIL])
        settle(storage, claim(storage), "retrying", due_at=NOW)
        storage.write([an_event(100 + number) for number in range(8)], [MAIL])
        assert sum(number >= 100 for number in ids(claim(storage, limit=4))) == 2

    def test_in_order_nothing_overtakes_one_that_runs_or_waits_for_its_next_attempt(self, storage: Any) -> None:
        storage.write([an_event(1), an_event(2)], [MAIL])
        first = claim(storage, ordered=True, limit=1)
        assert claim(storage, owner="other", ordered=True) == []
        settle(storage, first, "retrying", due_at=NOW + 30)
        assert claim(storage, owner="other", ordered=True, now=NOW + 29) == []
        again = claim(storage, owner="me", ordered=True, now=NOW + 31)
        assert ids(again) == [1]
        settle(storage, again)
        assert ids(claim(storage, owner="other", ordered=True, now=NOW + 31)) == [2]

    def test_what_was_claimed_and_not_tried_is_given_back_as_it_was(self, storage: Any) -> None:
        storage.write([an_event(1), an_event(2)], [MAIL])
        settle(storage, claim(storage, limit=1), "retrying", error="x", due_at=NOW)
        claim(storage)
        storage.outbox.release("me")
        assert [(number_of(each.event.id), each.attempt) for each in claim(storage, owner="other")] == [(1, 2), (2, 1)]

    def test_a_repeated_event_is_not_delivered_again(self, storage: Any) -> None:
        event = an_event(1, idempotency_key="k")
        storage.write([event], [MAIL])
        storage.write([event], [MAIL])
        storage.write([an_event(2, idempotency_key="k")], [MAIL])
        assert ids(claim(storage)) == [1]

    @pytest.mark.parametrize(("since", "expected"), [("now", [AFTERWARDS]), ("all", [*THE_PAST, AFTERWARDS])])
    def test_a_later_subscription_starts_from_now_or_from_the_beginning(
        self, storage: Any, since: Literal["now", "all"], expected: list[int]
    ) -> None:
        storage.write([an_event(number) for number in THE_PAST])
        storage.write([an_event(AFTERWARDS - 1, event_type="product cart-add")])
        late = Subscription("mail", frozenset({"product ordered"}), since)
        storage.write([an_event(AFTERWARDS)], [late])
        slices = 1
        while storage.outbox.enroll(late, now=NOW):
            assert since == "all"
            slices += 1
            assert slices <= len(THE_PAST), "it comes to an end"
        assert storage.outbox.enroll(late, now=NOW) is False
        assert ids(claim(storage, limit=10_000)) == expected

    def test_a_subscription_that_is_switched_off_keeps_what_waits(self, storage: Any) -> None:
        storage.outbox.enroll(MAIL, now=NOW)
        storage.write([an_event(1)], [MAIL])
        storage.outbox.switch("mail", off="410 Gone")
        storage.write([an_event(2)], [MAIL])
        assert claim(storage) == []
        assert storage.outbox.counts()["mail"].off == "410 Gone"
        storage.outbox.switch("mail", off=None)
        assert ids(claim(storage)) == [1, 2]

    def test_counts_tell_how_each_subscription_stands(self, storage: Any) -> None:
        storage.outbox.enroll(MAIL, now=NOW)
        storage.outbox.enroll(ALL, now=NOW)
        events = [an_event(new_event_id()[0]) for _ in range(6)]
        storage.write(events, [MAIL, Subscription("orphan")])
        batch = claim(storage)
        states: list[Settled] = ["delivered", "delivered", "discarded", "dead", "retrying"]
        for delivery, state in zip(batch, states, strict=False):
            settle(storage, [delivery], state, due_at=NOW + 5 if state == "retrying" else None)
        assert storage.outbox.counts() == {
            "all": Counts(),
            "mail": Counts(pending=2, failed=1, delivered=2, discarded=1, dead=1, oldest_event=events[4].id),
            "orphan": Counts(pending=6, oldest_event=events[0].id),
        }

    def test_deliveries_are_found_by_name_event_state_and_age(self, storage: Any) -> None:
        storage.write([an_event(1), an_event(2), an_event(3)], [MAIL, ALL])
        settle(storage, claim(storage, limit=1), "dead", error="ValueError: no")
        find = storage.outbox.find

        def found(**query: Any) -> list[str]:
            return [row.id for row in find(DeliveryQuery(**query), limit=10)]

        assert found(name="mail") == [
            delivery_id("mail", event_id(3)),
            delivery_id("mail", event_id(2)),
            delivery_id("mail", event_id(1)),
        ]
        assert sorted(found(event_id=event_id(2))) == [
            delivery_id("all", event_id(2)),
            delivery_id("mail", event_id(2)),
        ]
        assert found(states=("dead",)) == [delivery_id("mail", event_id(1))]
        assert found(id=delivery_id("all", event_id(3))) == [delivery_id("all", event_id(3))]
        assert sorted(found(before=event_id(2))) == [delivery_id("all", event_id(1)), delivery_id("mail", event_id(1))]
        assert len(find(DeliveryQuery(), limit=2)) == 2
        [dead] = find(DeliveryQuery(id=delivery_id("mail", event_id(1))), limit=10)
        assert (dead.state, dead.attempts, dead.error, dead.settled_at) == ("dead", 1, "ValueError: no", NOW)

    def test_what_is_replayed_begins_anew(self, storage: Any) -> None:
        storage.write([an_event(1), an_event(2), an_event(3)], [MAIL])
        one, two, _three = claim(storage)
        settle(storage, [one], "dead", error="x")
        settle(storage, [two])
        assert storage.outbox.replay(DeliveryQuery(name="mail")) == 2, "not the one that runs"
        again = claim(storage, owner="other", now=NOW + 1)
        assert [(number_of(each.event.id), each.attempt) for each in again] == [(1, 1), (2, 1)]

    def test_what_is_discarded_is_delivered_no_more(self, storage: Any) -> None:
        storage.outbox.enroll(MAIL, now=NOW)
        storage.write([an_event(1), an_event(2), an_event(3)], [MAIL])
        settle(storage, claim(storage, limit=1), "dead")
        assert storage.outbox.discard(DeliveryQuery(before=event_id(3)), why="test orders", now=NOW) == 2
        assert ids(claim(storage)) == [3]
        assert storage.outbox.counts()["mail"].discarded == 2
        [row] = storage.outbox.find(DeliveryQuery(id=delivery_id("mail", event_id(1))), limit=1)
        assert (row.state, row.error) == ("discarded", "test orders")

    def test_settled_deliveries_are_forgotten_by_age_and_dead_or_waiting_ones_never(self, storage: Any) -> None:
        storage.write([an_event(number) for number in range(5)], [MAIL])
        batch = claim(storage, limit=4)
        settle(storage, batch[:2])
        settle(storage, batch[2:3], "dead")
        assert storage.outbox.forget(before=NOW, limit=10) == 0
        assert storage.outbox.forget(before=NOW + 1, limit=1) == 1
        assert storage.outbox.forget(before=NOW + 1, limit=10) == 1
        assert [row.state for row in storage.outbox.find(DeliveryQuery(), limit=10)] == ["pending", "running", "dead"]

    def test_many_who_claim_at_once_share_the_deliveries_out(self, storage: Any, another: OpenStorage) -> None:
        storage.write([an_event(number) for number in range(300)], [MAIL])
        found: list[int] = []

        def take(which: DurableStorage, owner: str) -> None:
            while len(found) <= 300 and (batch := claim(which, owner=owner, limit=7)):
                found.extend(ids(batch))

        threads = [threading.Thread(target=take, args=(another(), f"o-{number}")) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [*range(300)]

    def test_of_a_batch_that_is_refused_nothing_is_delivered(self, storage: Any) -> None:
        bad = an_event(2).model_copy(update={"event_metadata": {"a": object()}})
        with pytest.raises(Exception):  # its own affair; such an event never comes from the API
            storage.write([an_event(1), bad], [MAIL])
        assert storage.outbox.find(DeliveryQuery(), limit=10) == []
        assert self.stored(storage) == []

    def test_a_child_that_is_forked_delivers_and_its_parent_goes_on(self, storage: Any) -> None:
        storage.write([an_event(1), an_event(2)], [MAIL])

        def deliver_one() -> None:
            settle(storage, claim(storage, owner="child", limit=1), owner="child")
            storage.close()

        self.in_a_fork(deliver_one)
        assert ids(claim(storage)) == [2]
