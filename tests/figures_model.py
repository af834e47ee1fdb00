"""Every figure once more, in plain Python over a list of events: what the property test compares with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from tk_analytics_mw import Event

QUARTER = timedelta(minutes=15)
STEPS = ["year", "month", "day", "hour"]


def ordered(events: Sequence[Event]) -> list[Event]:
    """By time; those of one millisecond as they were stored."""
    return sorted(events, key=lambda event: event.created_at)


def by_session(events: Sequence[Event]) -> dict[str, list[Event]]:
    """The events of each session, in order."""
    sessions: dict[str, list[Event]] = {}
    for event in ordered(events):
        sessions.setdefault(event.session_id, []).append(event)
    return sessions


def _clock(moment: datetime, range_: str, zone: ZoneInfo) -> tuple[dict[str, int], object]:
    shown = moment.astimezone(zone)
    if range_ == "week":
        return {"year": shown.isocalendar()[0], "week": shown.isocalendar()[1]}, None
    names = {name: getattr(shown, name) for name in STEPS[: STEPS.index(range_) + 1]}
    return names, shown.utcoffset() if range_ == "hour" else None  # an hour that is there twice


def views(events: Sequence[Event], range_: str, zone: str, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """Looks at the clock every quarter of an hour, which is when clocks are changed, and at each event."""
    zone_ = ZoneInfo(zone)
    found: list[tuple[dict[str, int], object]] = []
    moment = since
    while moment < until:
        if not found or found[-1] != _clock(moment, range_, zone_):
            found.append(_clock(moment, range_, zone_))
        moment = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0) + QUARTER
    answer, cumulative = [], 0
    for names, change in found:
        number = sum(_clock(event.created_at, range_, zone_) == (names, change) for event in events)
        cumulative += number
        answer.append({**names, "views": number, "cumulative": cumulative})
    return answer


def _amounts(events: Sequence[Event]) -> dict[str, Any]:
    return {
        "events": len(events),
        "sum": sum(event.metric for event in events),
        "mean": sum(event.metric for event in events) / len(events) if events else None,
        "sessions": len({event.session_id for event in events}),
        "users": len({event.user_id for event in events if event.user_id is not None}),
    }


def _rank(value: Any, in_object: bool) -> tuple[int, Any]:
    """The order of values of which there are equally many: none, numbers, everything else by its text."""
    if value is None:
        return 0, 0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 1, value
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False) if in_object else value
    return 2, text


def breakdown(events: Sequence[Event], value_of: Callable[[Event], Any], in_object: bool, top: int) -> dict[str, Any]:
    """Groups by value; 1 and 1.0 are one, 1 and true are two."""
    groups: dict[Any, list[Event]] = {}
    values: dict[Any, Any] = {}
    for event in events:
        value = value_of(event)
        key = _rank(value, in_object)
        groups.setdefault(key, []).append(event)
        values[key] = value
    keys = sorted(groups, key=lambda key: (-len(groups[key]), key))
    others = [event for key in keys[top:] for event in groups[key]]
    return {
        "total": _amounts(events),
        "groups": [{"value": values[key], **_amounts(groups[key])} for key in keys[:top]],
        "other": {"values": len(keys[top:]), **_amounts(others)},
    }


def funnel(events: Sequence[Event], steps: Sequence[str], within: timedelta | None) -> list[dict[str, Any]]:
    """Tries every beginning of every session."""
    ways: list[list[Event]] = []
    for session in by_session(events).values():
        best: list[Event] = []
        for number, first in enumerate(session):
            if first.event_type != steps[0]:
                continue
            way = [first]
            for event in session[number + 1 :]:
                late = within is not None and event.created_at - first.created_at > within
                if len(way) < len(steps) and event.event_type == steps[len(way)] and not late:
                    way.append(event)
            if len(way) > len(best):
                best = way
        ways.append(best)
    answer = []
    reached = [sum(len(way) > step for way in ways) for step in range(len(steps))]
    for step, event_type in enumerate(steps):
        before = reached[max(step - 1, 0)]
        times = [
            (way[step].created_at - way[step - 1].created_at).total_seconds()
            for way in ways
            if step and len(way) > step
        ]
        answer.append(
            {
                "eventType": event_type,
                "sessions": reached[step],
                "conversion": round(reached[step] / reached[0], 6) if reached[0] else None,
                "fromPrevious": round(reached[step] / before, 6) if before else None,
                "medianSeconds": round(median(times), 4) if times else None,
            }
        )
    return answer


def attributes(events: Sequence[Event]) -> dict[str, dict[str, list[int]]]:
    """Attribute to value (as JSON) to the numbers of sessions, carts and orders."""
    kinds = ["product configuration attribute set", "product cart-add", "product ordered"]
    numbers: dict[str, dict[str, list[int]]] = {}
    for session in by_session(events).values():
        last: dict[str | None, dict[str, Any]] = {}
        found: set[tuple[str, str, int]] = set()
        for event in session:
            if event.event_type not in kinds:
                continue
            if event.configuration is not None:
                last[event.asset_id] = event.configuration
            for name, value in last.get(event.asset_id, {}).items():
                found.add((name, json.dumps(value, sort_keys=True), kinds.index(event.event_type)))
        for name, value, kind in found:
            numbers.setdefault(name, {}).setdefault(value, [0, 0, 0])[kind] += 1
    return numbers
