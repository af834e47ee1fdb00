"""Forgetting: the tests of :class:`~tk_analytics_mw.storage.erasure.ErasingStorage`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from tk_analytics_mw.storage.erasure import Erased, ErasingStorage, Subject
from tk_analytics_mw.storage.outbox import DeliveryQuery, DurableStorage, Subscription
from tk_analytics_mw.testing.making import MOMENT, an_event, number_of
from tk_analytics_mw.testing.opened import Opened

DUE: Final = (Subscription("mail"), Subscription("stock", frozenset({"product ordered"})))
DAY: Final = timedelta(days=1)


class ErasureSuite(Opened):
    """``erasure``: the events of one person, and old ones, go; all others stay. Deliveries too, if there are any."""

    protocol = ErasingStorage

    def write(self, storage: Any, *events: Any) -> None:
        """Store events with their deliveries."""
        storage.write(events, DUE) if isinstance(storage, DurableStorage) else storage.write(events)

    def check(self, storage: Any, erased: Erased, *, events: int, deliveries: int) -> None:
        """See that so much has gone."""
        durable = isinstance(storage, DurableStorage)
        assert erased == Erased(events, deliveries if durable else 0)

    def erase(self, storage: Any, **subject: str) -> Erased:
        """Erase, to the end."""
        return sum((step.erased for step in storage.erasure.erase(Subject(**subject))), Erased())

    def left(self, storage: Any, org_id: str = "acme") -> list[int]:
        """The numbers of the events that are there, and of those in deliveries the same."""
        numbers = [number_of(event.id) for event in self.stored(storage, org_id)]
        if isinstance(storage, DurableStorage):
            rows = storage.outbox.find(DeliveryQuery(name="mail"), limit=1000)
            assert {*numbers} <= {number_of(row.event_id) for row in rows}
        return numbers

    def test_the_events_of_a_user_go_with_their_deliveries_and_nothing_else(self, storage: Any) -> None:
        self.write(
            storage,
            an_event(1, user_id="jane"),
            an_event(2, user_id="jane", event_type="product cart-add"),
            an_event(3, user_id="joe"),
            an_event(4),
            an_event(5, user_id="jane", org_id="rival"),
        )
        assert storage.erasure.organisations(Subject(user_id="jane")) == ["acme", "rival"]
        self.check(storage, self.erase(storage, user_id="jane", org_id="acme"), events=2, deliveries=3)
        assert (self.left(storage), self.left(storage, "rival")) == ([3, 4], [5])
        if isinstance(storage, DurableStorage):
            rows = storage.outbox.find(DeliveryQuery(), limit=100)
            assert sorted((row.name, number_of(row.event_id)) for row in rows) == [
                (name, number) for name in ("mail", "stock") for number in (3, 4, 5)
            ]
        assert self.erase(storage, user_id="jane", org_id="acme") == Erased(), "it may be repeated"
        self.check(storage, self.erase(storage, user_id="jane"), events=1, deliveries=2)
        self.check(storage, self.erase(storage, session_id="s-1"), events=2, deliveries=4)
        assert self.left(storage) == self.left(storage, "rival") == []

    def test_who_writes_meanwhile_need_not_wait_and_is_not_erased(self, storage: Any) -> None:
        self.write(storage, *(an_event(number, user_id="jane") for number in range(100)))
        work = storage.erasure.erase(Subject(user_id="jane"))
        erased = next(work).erased
        self.write(storage, an_event(100, user_id="joe"))
        assert sum((step.erased for step in work), erased).events == 100
        assert self.left(storage) == [100]

    def test_an_event_that_was_erased_may_come_again(self, storage: Any) -> None:
        event = an_event(1, user_id="jane", idempotency_key="k")
        self.write(storage, event)
        self.erase(storage, user_id="jane")
        self.write(storage, event)
        assert self.stored(storage) == [event]

    def test_old_events_go_whenever_they_came(self, storage: Any) -> None:
        self.write(
            storage,
            an_event(1),
            an_event(2, created_at=MOMENT - 2 * DAY),
            an_event(3, created_at=MOMENT - 9 * DAY),
        )
        storage.write([an_event(4, created_at=MOMENT - 20 * DAY)])  # imported: the last one to come and the oldest
        before = MOMENT - 5 * DAY
        assert storage.erasure.count(before) == 2
        assert storage.erasure.purge(before, 1) == Erased(events=1)
        self.check(storage, storage.erasure.purge(before), events=1, deliveries=2)
        assert storage.erasure.purge(before) == Erased()
        assert storage.erasure.purge(MOMENT - 2 * DAY) == Erased(), "what is just as old as that stays"
        assert self.left(storage) == [1, 2]

    def test_nothing_of_it_is_left_behind(self, storage: Any) -> None:
        self.write(storage, an_event(1, user_id="jane"))
        self.erase(storage, user_id="jane")
        assert storage.erasure.finish() is True, "nobody reads what was there before"
