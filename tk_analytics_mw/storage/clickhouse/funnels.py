"""How far sessions got: ClickHouse makes a word of each session, in which the steps are looked for here.

Its own ``windowFunnel`` takes one event for two steps that are the same, and begins anew where ours goes on. Said in
SQL of its other functions a funnel of five steps is a statement that ClickHouse takes 70 ms to read, before it looks
at any event. So it does what it is fast at, and gives the events of each session in order, as two values: a letter
for the type of each, and their times. A step is at the next place of its letter behind the step before.
:mod:`tk_analytics_mw.storage.funnels` says what is counted; the suites compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Final

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.clickhouse.conditions import condition
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.figures import Reached

_EVENT: Final = (
    "(toUnixTimestamp64Milli(created_at), position, "
    "transform(event_type, {types:Array(String)}, {letters:Array(String)}, ''))"
)
_WORDS: Final = f"""
    SELECT arrayStringConcat(events.3), events.1
    FROM (SELECT arraySort(groupArray({_EVENT})) AS events FROM {EVENTS} FINAL WHERE {{where}} GROUP BY session_id)
"""  # noqa: S608


def reached(connections: Connections, wanted: Filter, steps: Sequence[str], within: timedelta | None) -> list[Reached]:
    """See :meth:`Figures.funnel <tk_analytics_mw.storage.figures.Figures.funnel>`."""
    types = sorted({*steps})
    letters = {type_: chr(ord("A") + number) for number, type_ in enumerate(types)}
    where = condition(wanted).also("event_type IN {types:Array(String)}", types=types, letters=[*letters.values()])
    longest = None if within is None else within // timedelta(milliseconds=1)
    looked_for = [letters[step] for step in steps]
    took: list[list[int]] = [[] for _ in steps]  # milliseconds from the step before, of those who got there
    for word, times in connections.rows(_WORDS.replace("{where}", where.sql), where.values):
        way = _furthest(word, times, looked_for, longest)
        before = way[0] if way else 0
        for step, place in zip(took, way, strict=False):
            step.append(times[place] - times[before])
            before = place
    return [
        Reached(len(each), timedelta(milliseconds=median(each)) if step and each else None)
        for step, each in enumerate(took)
    ]


def _furthest(word: str, times: Sequence[int], letters: Sequence[str], within: int | None) -> list[int]:
    best: list[int] = []
    first = word.find(letters[0])
    while first >= 0:
        way = _way(word, times, letters, first, within)
        if len(way) > len(best):
            best = way
        if within is None or len(best) == len(letters):
            break  # none that begins later gets further
        first = word.find(letters[0], first + 1)
    return best


def _way(word: str, times: Sequence[int], letters: Sequence[str], first: int, within: int | None) -> list[int]:
    way = [first]
    for letter in letters[1:]:
        place = word.find(letter, way[-1] + 1)
        if place < 0 or (within is not None and times[place] - times[first] > within):
            break
        way.append(place)
    return way
