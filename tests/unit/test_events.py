"""The contract's types: spellings, names, and that no field is forgotten on its way."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from tests.unit.making import an_event
from tk_analytics_mw import ConfigurationError, EventType, InvalidEvent
from tk_analytics_mw.event_types import EventTypes
from tk_analytics_mw.events import Event, EventFields, NewEvent, build_event


@pytest.mark.parametrize("type_", EventType)
def test_an_event_type_is_its_text(type_: EventType) -> None:
    """In every version of Python: they differ in what an enumeration's member is in a text."""
    text = type_.value
    assert type_ == text
    assert (str(type_), f"{type_}", f"{type_:>40}".strip(), json.dumps(type_)) == (text, text, text, f'"{text}"')


@pytest.mark.parametrize("first", ["product", "produce", "production"])
def test_the_first_word_has_three_spellings(first: str) -> None:
    types = EventTypes(["product quote asked", "lead"])
    for canonical in types.known:
        spelling = canonical.replace("product ", f"{first} ", 1)
        assert types.canonical(spelling) == types.require(spelling) == canonical


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "product",
        "ordered",
        "products ordered",
        "Product ordered",
        "product  ordered",
        " product ordered",
        "product ordered ",
        "product ordered\n",
        "produce produce ordered",
        "reproduce ordered",
        "produced ordered",
        "product ar offered",
    ],
)
def test_what_is_spelled_otherwise_is_no_event_type(spelling: str) -> None:
    types = EventTypes(["lead"])
    assert types.canonical(spelling) is None
    with pytest.raises(ConfigurationError, match=r"'product ordered'.*'lead'.*event_types"):
        types.require(spelling)


def test_an_event_type_of_the_hosts_own_is_canonical_as_it_is_written() -> None:
    types = EventTypes(["produce recall", "lead", "lead", "product ordered"])
    assert types.canonical("produce recall") == "produce recall"
    assert len(types.known) == len(EventType) + 2


COMPLETE: dict[str, Any] = {
    "event_metadata": {"a": [1, None]},
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
OURS = {"spelling", "device_type", "device_family", "system", "browser", "user_agent", "idempotency_key"}


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def test_the_answer_has_every_field_of_the_contract_and_none_of_ours() -> None:
    event = an_event(spelling="produce ordered", **COMPLETE)
    assert {*COMPLETE} | {"id", "created_at", "event_type", "spelling", "org_id", "session_id"} == {*Event.model_fields}
    expected = {camel(name): value for name, value in event.model_dump().items() if name not in OURS}
    assert event.as_answer() == {**expected, "eventType": "produce ordered", "createdAt": "2026-11-23T12:00:00.001Z"}


def test_host_code_can_say_every_field_that_a_client_can() -> None:
    assert {*EventFields.__annotations__} == {*NewEvent.model_fields} - {"event_type"} | {"idempotency_key"}


def test_a_clients_names_and_pythons_are_never_mixed() -> None:
    """Else a client could say orgId for the check of its organisation and org_id for the row."""
    ours = an_event().model_dump()
    theirs = {camel(name): value for name, value in ours.items()}
    assert build_event(theirs, from_wire=True) == build_event(ours) == an_event()
    for values, from_wire in ((theirs, False), (ours, True)):
        with pytest.raises(InvalidEvent):
            build_event(values, from_wire=from_wire)
    assert build_event({**theirs, "org_id": "other"}, from_wire=True).org_id == "acme"
    assert build_event({**ours, "orgId": "other"}).org_id == "acme"


def test_an_event_can_be_given_to_a_task_queue() -> None:
    event = an_event(**COMPLETE)
    assert pickle.loads(pickle.dumps(event)) == event
    assert Event.model_validate_json(event.model_dump_json(), by_name=True) == event


def test_an_idempotency_key_is_not_shown() -> None:
    assert "order-4711" not in repr(an_event(idempotency_key="order-4711"))


def test_all_fields_of_an_event_count_as_given_and_no_copy_changes_that() -> None:
    event = build_event(an_event().__dict__)
    assert event.model_fields_set == set(Event.model_fields)
    event.model_copy(update={"surprise": 1})
    assert event.model_fields_set == set(Event.model_fields)
    assert event.model_dump(exclude_unset=True) == event.model_dump()
