"""Figures over events in memory, each written down as it is defined: what other storages' figures are compared with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any, Final

from tk_analytics_mw.event_types import EventType
from tk_analytics_mw.events import Event
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.figures import Amounts, Attribute, Breakdown, Chosen, Dimension, Group, Reached
from tk_analytics_mw.storage.memory.held import Held
from tk_analytics_mw.storage.memory.reader import in_order

# What choosing is, putting into the cart, and ordering.
_KINDS: Final = (
    EventType.CONFIGURATION_ATTRIBUTE_SET.value,
    EventType.CART_ADD.value,
    EventType.ORDERED.value,
)


class MemoryFigures:
    """See :class:`~tk_analytics_mw.storage.figures.Figures`."""

    def __init__(self, held: Held) -> None:
        self._held = held

    def span(self, org_id: str) -> tuple[datetime, datetime] | None:
        """See :meth:`Figures.span <tk_analytics_mw.storage.figures.Figures.span>`."""
        times = [event.created_at for event in self._events(Filter(org_id))]
        return (min(times), max(times)) if times else None

    def views(self, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
        """See :meth:`Figures.views <tk_analytics_mw.storage.figures.Figures.views>`."""
        timeless = Filter(wanted.org_id, wanted.equals, wanted.metadata)
        times = [event.created_at for event in self._events(timeless)]
        return [sum(start <= time < end for time in times) for start, end in pairwise(edges)]

    def breakdown(self, wanted: Filter, by: Dimension, *, top: int) -> Breakdown:
        """See :meth:`Figures.breakdown <tk_analytics_mw.storage.figures.Figures.breakdown>`.

        1 and 1.0 are one value, 1 and true are two.
        """
        events = self._events(wanted)
        groups: dict[Any, list[Event]] = {}
        values: dict[Any, Any] = {}
        for event in events:
            value = getattr(event, by.column)
            if by.key is not None:
                value = (value or {}).get(by.key)
            rank = _rank(value, by.key is not None)
            groups.setdefault(rank, []).append(event)
            values[rank] = value
        ranks = sorted(groups, key=lambda rank: (-len(groups[rank]), rank))
        return Breakdown(
            _amounts(events),
            [Group(values[rank], _amounts(groups[rank])) for rank in ranks[:top]],
            len(ranks[top:]),
            _amounts([event for rank in ranks[top:] for event in groups[rank]]),
        )

    def funnel(self, wanted: Filter, steps: Sequence[str], within: timedelta | None) -> list[Reached]:
        """See :meth:`Figures.funnel <tk_analytics_mw.storage.figures.Figures.funnel>`.

        Tries every beginning of every session.
        """
        ways: list[list[Event]] = []
        for session in self._sessions(wanted):
            best: list[Event] = []
            for number, first in enumerate(session):
                way = [first] if first.event_type == steps[0] else []
                for event in session[number + 1 :] if way else ():
                    late = within is not None and event.created_at - first.created_at > within
                    if len(way) < len(steps) and event.event_type == steps[len(way)] and not late:
                        way.append(event)
                best = max(best, way, key=len)
            ways.append(best)
        found = []
        for step in range(len(steps)):
            there = [way for way in ways if len(way) > step]
            times = [(way[step].created_at - way[step - 1].created_at).total_seconds() for way in there if step]
            found.append(Reached(len(there), timedelta(seconds=median(times)) if times else None))
        return found

    def attributes(self, wanted: Filter) -> list[Attribute]:
        """See :meth:`Figures.attributes <tk_analytics_mw.storage.figures.Figures.attributes>`."""
        found: dict[str, Attribute] = {}
        for session in self._sessions(wanted):
            last: dict[str | None, dict[str, Any]] = {}
            chosen: set[tuple[str, str, str]] = set()  # attribute, value, and in which kind of event
            for event in session:
                if event.event_type not in _KINDS:
                    continue
                if event.configuration is not None:
                    last[event.asset_id] = event.configuration
                for name, value in last.get(event.asset_id, {}).items():
                    if value is not None:
                        chosen.add((name, _text(value), event.event_type))
            for name in {name for name, _, kind in chosen if kind == _KINDS[0]}:
                found.setdefault(name, Attribute(name)).sessions += 1
            for name, text, kind in chosen:
                counts = found.setdefault(name, Attribute(name)).values.setdefault(text, Chosen())
                counts.sessions += kind == _KINDS[0]
                counts.carts += kind == _KINDS[1]
                counts.orders += kind == _KINDS[2]
        for attribute in found.values():
            attribute.values = dict(sorted(attribute.values.items(), key=lambda item: (-item[1].sessions, item[0])))
        return sorted(found.values(), key=lambda attribute: (-attribute.sessions, attribute.name))

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """See :meth:`Figures.rebuild <tk_analytics_mw.storage.figures.Figures.rebuild>`. Nothing is kept counted."""

    def _events(self, wanted: Filter) -> list[Event]:
        return [event for _, _, event in in_order(self._held, wanted)]

    def _sessions(self, wanted: Filter) -> list[list[Event]]:
        sessions: dict[str, list[Event]] = {}
        for event in self._events(wanted):
            sessions.setdefault(event.session_id, []).append(event)
        return [*sessions.values()]


def _amounts(events: Sequence[Event]) -> Amounts:
    return Amounts(
        len(events),
        sum(event.metric for event in events),
        len({event.session_id for event in events}),
        len({event.user_id for event in events if event.user_id is not None}),
    )


def _rank(value: Any, in_object: bool) -> tuple[int, Any]:
    """The order of values of which there are equally many: none, numbers, everything else by its text."""
    if value is None:
        return 0, 0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 1, value
    return 2, _text(value) if in_object else value


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1 and 1.0 are one value
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
