"""How far a session got in a funnel.

A session reaches a step when an event of its type follows, in the order of time, the event that reached the step
before. With a limit of time, all of that has to happen within it: every event of the first type may then be the
beginning, and the one that leads furthest counts, the first one of those that lead equally far.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from tk_analytics_mw.storage.figures import Reached


class Funnel:
    """Takes one session after the other.

    Args:
        steps: event types.
        within: all steps are to be reached in this time; ``None`` for as long as the session lasts.
    """

    def __init__(self, steps: Sequence[str], within: timedelta | None) -> None:
        self._steps = steps
        self._within = within
        self._reached = [0] * len(steps)
        self._times: list[list[float]] = [[] for _ in steps]  # seconds from the step before

    def add(self, events: Sequence[tuple[str, datetime]]) -> None:
        """Count a session.

        Args:
            events: all that it has of the funnel's types, with their times, in order.
        """
        way = self._furthest(events)
        for step, place in enumerate(way):
            self._reached[step] += 1
            if step:
                self._times[step].append((events[place][1] - events[way[step - 1]][1]).total_seconds())

    def result(self) -> list[Reached]:
        """Step by step."""
        return [
            Reached(sessions, timedelta(seconds=median(times)) if times else None)
            for sessions, times in zip(self._reached, self._times, strict=True)
        ]

    def _furthest(self, events: Sequence[tuple[str, datetime]]) -> list[int]:
        places: dict[str, list[int]] = {step: [] for step in self._steps}
        for place, (event_type, _) in enumerate(events):
            places[event_type].append(place)
        best: list[int] = []
        for first in places[self._steps[0]]:
            way = self._way(events, places, first)
            if len(way) > len(best):
                best = way
            if self._within is None or len(best) == len(self._steps):
                break  # none that begins later gets further
        return best

    def _way(self, events: Sequence[tuple[str, datetime]], places: dict[str, list[int]], first: int) -> list[int]:
        way = [first]
        for step in self._steps[1:]:
            following = places[step]
            number = bisect_right(following, way[-1])
            if number == len(following):
                break
            place = following[number]
            if self._within is not None and events[place][1] - events[first][1] > self._within:
                break
            way.append(place)
        return way
