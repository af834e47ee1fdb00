"""What shoppers chose: the attributes of configurations, their values, and what became of them.

A value is *chosen* in a session that has it in the ``configuration`` of a ``product configuration attribute set``. It
is *in the cart* if it is in the configuration of a ``product cart-add`` of that session: the event's own, or else the
last one of the session for that asset. It is *ordered* in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from tk_analytics_mw.event_types import EventType
from tk_analytics_mw.storage.figures import Attribute, Chosen

SET: Final = EventType.CONFIGURATION_ATTRIBUTE_SET.value
CART: Final = EventType.CART_ADD.value
ORDERED: Final = EventType.ORDERED.value
TYPES: Final = (SET, CART, ORDERED)
"""The event types that matter."""

Pair = tuple[str, str]
"""An attribute, and its value as JSON with sorted keys."""


class Step(NamedTuple):
    """What an event says."""

    event_type: str
    asset_id: str | None
    configuration: str | None
    """As JSON."""


class Choices:
    """Takes one session after the other."""

    def __init__(self) -> None:
        self._attributes: dict[str, Attribute] = {}

    def add(self, steps: Sequence[Step]) -> None:
        """Count a session.

        Args:
            steps: all its events of :data:`TYPES`, in order.
        """
        last: dict[str | None, frozenset[Pair]] = {}
        found: Mapping[str, set[Pair]] = {event_type: set() for event_type in TYPES}
        for event_type, asset_id, configuration in steps:
            if configuration is not None:
                last[asset_id] = _pairs(configuration)
            found[event_type] |= last.get(asset_id, frozenset())
        self._count(found)

    def _count(self, found: Mapping[str, set[Pair]]) -> None:
        for name in {name for name, _ in found[SET]}:
            self._attributes.setdefault(name, Attribute(name)).sessions += 1
        for name, value in set().union(*found.values()):
            chosen = self._attributes.setdefault(name, Attribute(name)).values.setdefault(value, Chosen())
            chosen.sessions += (name, value) in found[SET]
            chosen.carts += (name, value) in found[CART]
            chosen.orders += (name, value) in found[ORDERED]

    def result(self) -> list[Attribute]:
        """The attribute that was chosen in most sessions first, and so its values."""
        for attribute in self._attributes.values():
            attribute.values = dict(sorted(attribute.values.items(), key=lambda item: (-item[1].sessions, item[0])))
        return sorted(self._attributes.values(), key=lambda attribute: (-attribute.sessions, attribute.name))


@lru_cache(maxsize=4096)  # many shoppers leave things as they are
def _pairs(configuration: str) -> frozenset[Pair]:
    value: dict[str, Any] = from_json(configuration)
    return frozenset([(name, _canonical(to_json(each))) for name, each in value.items() if each is not None])


def canonical(value: Any) -> str:
    """A JSON value as the text that all equal values have in common."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=16_384)  # and what they choose from is the same for everybody
def _canonical(value: bytes) -> str:
    return canonical(from_json(value))
