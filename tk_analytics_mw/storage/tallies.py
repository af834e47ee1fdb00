"""Events by value, put together from what a database has summed up by value, session and user."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from tk_analytics_mw.storage.figures import Amounts, Breakdown, Group


class Tallies:
    """Takes one row for each user of a session that has a value."""

    def __init__(self) -> None:
        self._total = _Tally()
        self._tallies: dict[Hashable, _Tally] = {}

    def add(self, key: Hashable, session_id: str, user_id: str | None, events: int, metric: float) -> None:
        """Count a row.

        Args:
            key: stands for the value. ``None``, numbers and texts have an order of their own, in this order.
            session_id: of the events.
            user_id: of the events.
            events: how many.
            metric: their sum.
        """
        self._total.add(session_id, user_id, events, metric)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally()
        tally.add(session_id, user_id, events, metric)

    def result(self, top: int, value: Callable[[Any], Any]) -> Breakdown:
        """The answer.

        Args:
            top: how many values have a group of their own.
            value: of a key.
        """
        ordered = sorted(self._tallies, key=lambda key: (-self._tallies[key].events, _rank(key)))
        other = _Tally()
        for key in ordered[top:]:
            other.add_all(self._tallies[key])
        return Breakdown(
            self._total.amounts(),
            [Group(value(key), self._tallies[key].amounts()) for key in ordered[:top]],
            len(ordered[top:]),
            other.amounts(),
        )


class _Tally:
    """What is counted of one value."""

    __slots__ = ("events", "metric", "sessions", "users")

    def __init__(self) -> None:
        self.events = 0
        self.metric = 0.0
        self.sessions: set[str] = set()
        self.users: set[str] = set()

    def add(self, session_id: str, user_id: str | None, events: int, metric: float) -> None:
        self.events += events
        self.metric += metric
        self.sessions.add(session_id)
        if user_id is not None:
            self.users.add(user_id)

    def add_all(self, other: _Tally) -> None:
        self.events += other.events
        self.metric += other.metric
        self.sessions |= other.sessions
        self.users |= other.users

    def amounts(self) -> Amounts:
        return Amounts(self.events, self.metric, len(self.sessions), len(self.users))


def _rank(key: Any) -> tuple[int, Any]:
    """Of values of which there are equally many: none, then numbers, then texts."""
    return (0, 0) if key is None else (2, key) if isinstance(key, str) else (1, key)
