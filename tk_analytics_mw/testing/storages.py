"""What every storage must do: the tests of :class:`~tk_analytics_mw.Storage`."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.events import Event
from tk_analytics_mw.json_values import INT64_MAX, INT64_MIN
from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.testing.making import an_event, number_of
from tk_analytics_mw.testing.opened import Opened, OpenStorage, examples, new_organisation

COMPLETE: Final[dict[str, Any]] = {
    "spelling": "produce ordered",
    "event_metadata": {"é": [1, 2.5, None, {"a": "\U0001f600"}], "great": INT64_MAX},
    "asset_id": "asset",
    "user_id": "user",
    "config_id": "abcdefg",
    "configuration": {"color": "red"},
    "device": "PC / Windows 7 / Firefox 47.0",
    "metric": 2.5,
    "device_type": "pc",
    "device_family": "PC",
    "system": "Windows 7",
    "browser": "Firefox 47.0",
    "user_agent": "Mozilla",
    "request_url": "https://shop.example.com/api",
    "request_origin": "https://shop.example.com",
    "referer": "https://shop.example.com/",
    "idempotency_key": "key",
}
"""Every field that an event can have beside those it must have."""

HOSTILE: Final = (
    "'; DROP TABLE events; --",
    '"\\',
    "%s %(x)s {0} ${x} :x ? $1 @x",
    "a\nb\r\nc\td\x7f\x85\u2028\u2029",
    "\u202etxet\u202c \ufeff\ufffd\uffff",
    "e\u0301 é ß ẞ İ \u0131",  # equal to some, unlike as text
    "\U0001f469\u200d\U0001f4bb\U0010fffd",
    " leading and trailing ",
    "None",
    "<script>alert(1)</script>",
    "=cmd|'/c calc'!A1",
    "../../etc/passwd",
    "x" * 200,
)
"""Texts that the API lets through, 200 characters at most."""

_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(INT64_MIN, INT64_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(_text, inside, max_size=4),
    max_leaves=12,
)
_keys = st.lists(st.none() | st.sampled_from(["k", "l", "K"]), min_size=6, max_size=6)
_batches = st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["s-1", "s-2"])), max_size=6), max_size=6)


def some(count: int, start: int = 0) -> list[Event]:
    """So many events, told apart by number and metric."""
    return [an_event(number, metric=number) for number in range(start, start + count)]


class StorageSuite(Opened):
    """``write`` and ``close``: durable, whole batches, in order, once, from wherever they are called."""

    def numbers(self, storage: Any) -> list[int]:
        """Which events are stored, in order."""
        return [number_of(event.id) for event in self.stored(storage)]

    def test_every_field_comes_back_as_it_was(self, storage: Any) -> None:
        events = [an_event(1, **COMPLETE), an_event(2)]
        storage.write(events)
        assert self.stored(storage) == events

    @pytest.mark.parametrize("text", HOSTILE, ids=ascii)
    def test_no_text_is_more_than_a_text(self, storage: Any, text: str) -> None:
        event = an_event(
            1,
            session_id=text,
            user_id=text,
            asset_id=text,
            device=text,
            event_metadata={text: text, "list": [text], "": ""},
            configuration={text: {text: None}},
        )
        beside = an_event(2)
        storage.write([event, beside])
        assert self.stored(storage) == [event, beside]

    @examples
    @given(st.dictionaries(_text, _json, max_size=4), st.floats(allow_nan=False, allow_infinity=False))
    def test_every_json_comes_back_as_it_was(self, storage: Any, metadata: dict[str, Any], metric: float) -> None:
        if self.enough():
            return
        org_id = new_organisation()
        number = int(org_id.partition("-")[2])
        event = an_event(number, org_id=org_id, event_metadata=metadata, configuration={"a": metadata}, metric=metric)
        storage.write([event])
        assert self.stored(storage, org_id) == [event]

    @pytest.mark.parametrize("count", [0, 1, 2, 3, 255, 256, 257, 500])
    def test_batches_of_every_size_are_stored_in_order(self, storage: Any, count: int) -> None:
        batch = some(count)
        answer = storage.write(batch)
        assert answer is None or list(answer) == batch
        assert self.stored(storage) == batch

    def test_a_batch_is_stored_in_its_own_order_whatever_the_ids(self, storage: Any) -> None:
        storage.write([an_event(3), an_event(1)])
        storage.write([an_event(2)])
        assert self.numbers(storage) == [3, 1, 2]

    def test_an_id_that_is_held_is_left_as_it_is(self, storage: Any) -> None:
        first = an_event(1, session_id="first")
        storage.write([first])
        storage.write([an_event(3), an_event(1, session_id="second"), an_event(2)])
        assert self.stored(storage) == [first, an_event(3), an_event(2)]

    def test_a_key_that_is_held_gives_the_first_event_in_its_place(self, storage: Any) -> None:
        first = an_event(1, idempotency_key="k")
        plain, again, other = an_event(2), an_event(3, idempotency_key="k"), an_event(4, idempotency_key="l")
        elsewhere = an_event(5, idempotency_key="k", org_id="rival")
        assert storage.write([first, plain, again, other, elsewhere]) == [first, plain, first, other, elsewhere]
        assert self.stored(storage) == [first, plain, other]
        assert self.stored(storage, "rival") == [elsewhere]
        assert storage.write([again]) == [first]
        assert storage.write([first]) == [first]
        assert self.stored(storage) == [first, plain, other]

    def test_what_was_stored_comes_back_complete_for_the_same_key(self, another: OpenStorage) -> None:
        first = an_event(1, **COMPLETE)
        another().write([first])
        assert another().write([an_event(2, idempotency_key="key")]) == [first]

    def test_an_id_of_another_organisation_is_neither_told_nor_changed(self, storage: Any) -> None:
        secret = an_event(1, org_id="rival", user_id="secret")
        storage.write([secret])
        mine = an_event(1, user_id="me")
        answer = storage.write([mine, an_event(2)])
        assert answer is None or answer[0].user_id == "me"
        assert self.stored(storage, "rival") == [secret]
        assert an_event(2) in self.stored(storage)

    @examples
    @given(_keys, _batches)
    def test_however_often_and_in_whatever_batches_an_event_comes_it_is_stored_once(
        self, storage: Any, keys: list[str | None], batches: list[list[tuple[int, str]]]
    ) -> None:
        if self.enough():
            return
        org_id, model = new_organisation(), MemoryStorage()
        first = int(org_id.partition("-")[2]) * 10
        for batch in batches:
            events = [
                an_event(first + number, org_id=org_id, idempotency_key=keys[number], session_id=session)
                for number, session in batch
            ]
            answer = storage.write(events)
            for event, got, expected in zip(events, answer or events, model.write(events), strict=True):
                # Where only the id is held, "as it was given" will do.
                assert got == expected or (got == event and event.id == expected.id)
        assert self.stored(storage, org_id) == model.events

    @pytest.mark.parametrize(
        "bad",
        [{"metric": 2**70}, {"device": "\ud800"}, {"event_metadata": {"a": object()}}],
        ids=lambda bad: next(iter(bad)),
    )
    def test_of_a_batch_with_an_event_that_is_refused_nothing_is_stored_and_the_next_is(
        self, storage: Any, bad: dict[str, Any]
    ) -> None:
        """Group commit halves such a batch: its error may not be the one of a storage that is away.

        What is refused is the storage's own affair. No such event comes from the API, or from ``record()``.
        """
        storage.write(some(1))
        batch = some(300, start=1)
        batch[299] = batch[299].model_copy(update=bad)
        try:
            storage.write(batch)
        except StorageUnavailable as error:
            pytest.fail(f"one bad event, and StorageUnavailable: clients would send it again for ever: {error}")
        except Exception:
            assert self.numbers(storage) == [0]
            storage.write(some(2, start=1))
            assert self.numbers(storage) == [0, 1, 2]

    def test_threads_may_share_a_storage(self, storage: Any) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: storage.write(some(3, start=3 * number)), range(50)))
        numbers = self.numbers(storage)
        assert sorted(numbers) == [*range(150)]
        for start in range(0, 150, 3):
            place = numbers.index(start)
            assert numbers[place : place + 3] == [start, start + 1, start + 2], "a batch stays together"

    def test_storages_that_start_together_all_write(self, another: OpenStorage) -> None:
        storages = [another() for _ in range(8)]
        together = threading.Barrier(8)

        def write(number: int) -> None:
            together.wait()
            storages[number].write(some(1, start=number))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        assert sorted(self.numbers(storages[0])) == [*range(8)]

    def test_of_many_who_send_one_key_together_one_is_stored_and_all_get_it(self, another: OpenStorage) -> None:
        storages = [another() for _ in range(4)]
        together = threading.Barrier(8)

        def write(number: int) -> Event:
            together.wait()
            [event] = storages[number % 4].write([an_event(number, idempotency_key="k")])
            return event  # type: ignore[no-any-return]

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(write, range(8)))
        assert self.stored(storages[0]) == answers[:1]
        assert answers == answers[:1] * 8

    def test_a_write_after_close_opens_again(self, storage: Any) -> None:
        storage.close()  # nothing is open yet
        for number in range(3):
            storage.write(some(1, start=number))
            storage.close()
            storage.close()
        assert self.numbers(storage) == [0, 1, 2]

    def test_a_child_that_is_forked_and_its_parent_both_write(self, storage: Any) -> None:
        storage.write(some(1))
        self.in_a_fork(lambda: (storage.write(some(1, start=1)), storage.close()))
        storage.write(some(1, start=2))
        assert self.numbers(storage) == [0, 1, 2]

    def test_a_child_that_is_forked_before_the_first_write_writes(self, storage: Any) -> None:
        self.in_a_fork(lambda: storage.write(some(2)))
        storage.write(some(1, start=2))
        assert self.numbers(storage) == [0, 1, 2]
