"""Whatever is stored, stored again and removed, and whoever asks in between: every figure is what plain Python says."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import figures_model as model
from tests.hosts import AsgiAsyncio, WsgiValidate
from tests.hosts.base import EVENTS, Host
from tk_analytics_mw import Event, Principal
from tk_analytics_mw.events import build_event
from tk_analytics_mw.identifiers import new_event_id

START = datetime(2026, 10, 23, 18, tzinfo=timezone.utc)
"""Two days before Berlin puts its clocks back."""
DAYS = 5
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"]
TYPES = [
    "product session start",
    "product configuration start",
    "product configuration attribute set",
    "product cart-add",
    "product ordered",
]
VALUES: list[Any] = [
    "x",
    "1",
    1,
    1.0,
    2.5,
    True,
    False,
    None,
    "true",
    {"r": 1, "g": 2},
    {"g": 2, "r": 1},
    [1, "x"],
    'ä"\\',
]
COLUMNS: dict[str, Callable[[Event], Any]] = {
    "assetId": lambda event: event.asset_id,
    "eventType": lambda event: event.event_type,
    "device.type": lambda event: event.device_type,
    "browser": lambda event: event.browser,
    "system": lambda event: event.system,
}
OBJECTS: dict[str, Callable[[Event], Any]] = {
    "metadata.key": lambda event: (event.event_metadata or {}).get("key"),
    'metadata.a.b"c': lambda event: (event.event_metadata or {}).get('a.b"c'),
    "configuration.Fabric": lambda event: (event.configuration or {}).get("Fabric"),
}

moments = st.integers(0, DAYS * 86_400_000 - 1) | st.integers(0, DAYS * 24).map(lambda hour: hour * 3_600_000)
values = st.sampled_from(VALUES)
an_event = st.fixed_dictionaries(
    {"at": moments, "event_type": st.sampled_from(TYPES), "session_id": st.sampled_from(["s-1", "s-2", "s-3"])},
    optional={
        "user_id": st.sampled_from(["u-1", "u-2"]),
        "asset_id": st.sampled_from(["chair", "table", "Sofa", "ü"]),
        "browser": st.sampled_from(["Firefox", "Safari"]),
        "system": st.sampled_from(["Linux", "iOS"]),
        "device_type": st.sampled_from(["pc", "mobile"]),
        "metric": st.integers(-3, 9).map(lambda number: number / 2),
        "event_metadata": st.dictionaries(st.sampled_from(["key", 'a.b"c', "other"]), values),
        "configuration": st.dictionaries(st.sampled_from(["Fabric", "Colour"]), st.sampled_from(["x", 1, {"r": 1}])),
    },
)
batches = st.lists(an_event, min_size=1, max_size=12)
filters = st.fixed_dictionaries(
    {},
    optional={
        "assetId": st.sampled_from(["chair", "table"]),
        "browser": st.just("Firefox"),
        "sessionId": st.just("s-1"),
        "metadata": st.sampled_from([{"key": "x"}, {"key": 1}]),
    },
)
times = st.tuples(moments, moments).map(sorted) | st.just([0, DAYS * 86_400_000])
questions = st.one_of(
    st.tuples(st.just("views"), st.sampled_from(["hour", "day", "week", "month", "year"]), st.sampled_from(ZONES)),
    st.tuples(st.just("breakdown"), st.sampled_from([*COLUMNS, *OBJECTS]), st.integers(1, 4)),
    st.tuples(
        st.just("funnel"),
        st.lists(st.sampled_from(TYPES), min_size=1, max_size=4),
        st.sampled_from([None, 3600, 90000]),
    ),
    st.tuples(st.just("attributes"), st.none(), st.none()),
)
asked = st.tuples(st.just("ask"), questions, filters, times, st.none() | st.sampled_from(TYPES))
steps = st.one_of(
    st.tuples(st.just("store"), batches),
    st.tuples(st.just("again"), st.integers(0, 9)),
    st.tuples(st.just("erase"), st.sampled_from(["s-1", "s-2"]), st.sampled_from(["session_id", "user_id"])),
    st.tuples(st.just("purge"), moments),
    asked,
    asked,
    asked,
)


def the_organisation(request: Any) -> Principal:
    return Principal(request.headers["x-organisation"])


@pytest.fixture(scope="module", params=[WsgiValidate, AsgiAsyncio], ids=lambda face: face.face)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder: Path = tmp_path_factory.mktemp("figures")
    host: Host = request.param(
        folder / "analytics.db", {"authenticator": the_organisation, "durability": "relaxed"}, lambda analytics: None
    )
    yield host
    host.close()


class Shop:
    """An organisation of its own in the shared database, and the list of events that the model has of it."""

    number = 0

    def __init__(self, host: Host) -> None:
        Shop.number += 1
        self.org_id = f"org-{Shop.number}"
        self.host = host
        self.storage = host.analytics.find_parts().storage
        self.events: list[Event] = []
        self.batches: list[list[Event]] = []

    def do(self, what: str, *how: Any) -> None:
        match what:
            case "store":
                self.store(*how)
            case "again":
                self.again(*how)
            case "erase":
                value, column = how
                value = value if column == "session_id" else value.replace("s", "u")
                self.remove(f"{column} = ?", value, lambda event, c=column, v=value: getattr(event, c) == v)
            case "purge":
                end = START + timedelta(milliseconds=how[0])
                text = end.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                self.remove("created_at < ?", text, lambda event, end=end: event.created_at < end)
            case "ask":
                self.ask(*how)

    def store(self, batch: list[dict[str, Any]]) -> None:
        events = []
        for fields in batch:
            created_at = START + timedelta(milliseconds=fields["at"])
            known = {"id": new_event_id()[0], "created_at": created_at, "spelling": fields["event_type"]}
            events.append(
                build_event({**{k: v for k, v in fields.items() if k != "at"}, **known, "org_id": self.org_id})
            )
        self.storage.write(events)
        self.events += events
        self.batches.append(events)

    def again(self, number: int) -> None:
        """What a client does that got no answer. What was removed since comes back."""
        if self.batches:
            batch = self.batches[number % len(self.batches)]
            held = {event.id for event in self.events}
            self.storage.write(batch)
            self.events += [event for event in batch if event.id not in held]

    def remove(self, condition: str, value: str, goes: Callable[[Event], bool]) -> None:
        """As an erasure does: by plain SQL, a slice at a time, from a connection that knows nothing of us."""
        with closing(sqlite3.connect(self.host.database, isolation_level=None)) as connection:
            while connection.execute(
                "DELETE FROM events WHERE position IN "
                f"(SELECT position FROM events WHERE org_id = ? AND {condition} LIMIT 3)",
                (self.org_id, value),
            ).rowcount:
                pass
        self.events = [event for event in self.events if not goes(event)]

    def ask(
        self, question: tuple[str, Any, Any], filter_: dict[str, Any], range_: list[int], event_type: str | None
    ) -> None:
        what, first, second = question
        since, until = (START + timedelta(milliseconds=each) for each in range_)
        parameters = {**filter_, "startDate": since.isoformat(), "endDate": until.isoformat()}
        events = [event for event in self.events if since <= event.created_at < until and meets(event, filter_)]
        if event_type is not None and what in ("views", "breakdown"):
            parameters["eventType"] = event_type
            events = [event for event in events if event.event_type == event_type]
        match what:
            case "views":
                answer = self.get("views", **parameters, range=first, timezone=second)
                found = [{name: each for name, each in view.items() if name != "start"} for view in answer["views"]]
                assert found == model.views(events, first, second, since, until)
            case "breakdown":
                answer = self.get("breakdown", **parameters, by=first, top=second)
                of = COLUMNS.get(first) or OBJECTS[first]
                expected = model.breakdown(events, of, first in OBJECTS, second)
                assert {name: answer[name] for name in expected} == expected
            case "funnel":
                within = {} if second is None else {"within": second}
                answer = self.get("funnel", **parameters, steps=",".join(first), **within)
                assert answer["steps"] == model.funnel(events, first, second and timedelta(seconds=second))
            case "attributes":
                answer = self.get("attributes", **parameters)
                numbers = {
                    each["attribute"]: {
                        json.dumps(value["value"], sort_keys=True): [value["sessions"], value["carts"], value["orders"]]
                        for value in each["values"]
                    }
                    for each in answer["attributes"]
                }
                assert numbers == model.attributes(events)

    def get(self, below: str, **parameters: Any) -> Any:
        query = urlencode({k: each if isinstance(each, str) else json.dumps(each) for k, each in parameters.items()})
        reply = self.host.request("GET", f"{EVENTS}/{below}", query=query, headers={"X-Organisation": self.org_id})
        assert reply.status == 200, reply.body
        return reply.json


def meets(event: Event, filter_: dict[str, Any]) -> bool:
    fields = {"assetId": event.asset_id, "browser": event.browser, "sessionId": event.session_id}
    for name, value in filter_.items():
        if name != "metadata":
            if fields[name] != value:
                return False
        elif (held := (event.event_metadata or {}).get("key")) != value["key"] or isinstance(held, bool):
            return False
    return True


# Not shrunk: it takes minutes, and what was found can be read as it is.
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[*HealthCheck],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(
    rebuilt=st.booleans(),
    first=batches,
    then=st.lists(steps, min_size=4, max_size=14),
    last=st.lists(asked, min_size=3, max_size=6),
)
def test_every_figure_is_what_plain_python_says(shared: Host, rebuilt: bool, first: Any, then: Any, last: Any) -> None:
    shop = Shop(shared)
    shop.store(first)
    for what, *how in then:
        shop.do(what, *how)
    if rebuilt:
        shop.storage.figures.rebuild()  # type: ignore[attr-defined]
    for what, *how in last:
        shop.do(what, *how)
