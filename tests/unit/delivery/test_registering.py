"""Durable hooks that make no sense stop the start."""

from __future__ import annotations

from typing import Any

import pytest

from tk_analytics_mw import Analytics
from tk_analytics_mw.errors import ConfigurationError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs a name"),
        ({"name": ""}, "needs a name"),
        ({"name": "two words"}, "needs a name"),
        ({"name": "mail", "when": "inline"}, "leave when="),
        ({"name": "mail", "since": "yesterday"}, "since is"),
        ({"name": "mail", "max_attempts": 0}, "max_attempts"),
        ({"name": "mail", "retries": 3}, "no option 'retries'"),
        ({"name": "mail", "durable": False}, "durable=True"),
        ({"durable": False, "ordered": True}, "durable=True"),
    ],
)
def test_options_that_make_no_sense_stop_the_start(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Analytics().on("product ordered", **{"durable": True, **options})(lambda event, delivery: None)


def test_a_function_that_does_not_take_the_delivery_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"\(event, delivery\)"):
        Analytics().on(durable=True, name="mail")(lambda event: None)


def test_a_name_stands_for_one_function() -> None:
    analytics = Analytics()
    analytics.on(durable=True, name="mail")(lambda event, delivery: None)
    with pytest.raises(ConfigurationError, match="'mail' already"):
        analytics.on(durable=True, name="mail")(lambda event, delivery: None)


def test_an_unknown_event_type_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="no event type"):
        Analytics().on("product sold", durable=True, name="mail")(lambda event, delivery: None)


class NoOutbox:
    """A storage that only stores."""

    def write(self, events: Any) -> None: ...
    def close(self) -> None: ...


def test_a_storage_without_an_outbox_refuses_durable_hooks_whichever_comes_first() -> None:
    with pytest.raises(ConfigurationError, match=r"'mail' needs a storage with an outbox.*NoOutbox has none"):
        Analytics(storage=NoOutbox()).on(durable=True, name="mail")(lambda event, delivery: None)
    shared = Analytics()
    shared.on(durable=True, name="mail")(lambda event, delivery: None)
    with pytest.raises(ConfigurationError, match="NoOutbox has none"):
        shared.make_parts({"storage": NoOutbox()})
    with pytest.raises(ConfigurationError, match="no outbox"):
        Analytics(storage=NoOutbox()).deliver(once=True)
    with pytest.raises(ConfigurationError, match="no outbox"):
        Analytics(storage=NoOutbox()).outbox  # noqa: B018
