"""How far sessions got: ClickHouse makes a word of each session, in which the steps are looked for.

Its own ``windowFunnel`` takes one event for two steps that are the same, and begins anew where ours goes on. So it
makes two values of a session: a letter for the type of each event, in order, and their times. A step is at the next
place of its letter behind the step before. Regular expressions find these places, one for each step: of other
functions, each within the one before, a funnel of five steps is a statement that ClickHouse takes 70 ms to read. Where
a session has only so long for all steps, the way that gets furthest may begin later: those are looked for here.
:mod:`tk_analytics_mw.storage.funnels` says what is counted; the suites compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from statistics import median
from typing import Any, Final

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
    SELECT arrayStringConcat(events.3) AS word, events.1 AS times
    FROM (SELECT arraySort(groupArray({_EVENT})) AS events FROM {EVENTS} FINAL WHERE {{where}} GROUP BY session_key)
"""  # noqa: S608
_PLACES: Final = "SELECT times, {places} FROM ({words})"
_TOOK: Final = "SELECT countIf(place_0 > 0) AS sessions{took} FROM ({places})"
_MEDIANS: Final = "SELECT sessions{medians} FROM ({took})"

_PLACE: Final = "length(extract(word, {{way_{step}:String}})) AS place_{step}"
_STEP_TOOK: Final = (
    ", arraySort(groupArrayIf(times[place_{step}] - times[place_{before}], place_{step} > 0)) AS took_{step}"
)
# The middle one, or both.
_MEDIAN: Final = (
    ", length(took_{step}), took_{step}[intDiv(length(took_{step}) + 1, 2)], "
    "took_{step}[intDiv(length(took_{step}), 2) + 1]"
)


def reached(connections: Connections, wanted: Filter, steps: Sequence[str], within: timedelta | None) -> list[Reached]:
    """See :meth:`Figures.funnel <tk_analytics_mw.storage.figures.Figures.funnel>`."""
    types = sorted({*steps})
    letters = {type_: chr(ord("A") + number) for number, type_ in enumerate(types)}
    where = condition(wanted).also("event_type IN {types:Array(String)}", types=types, letters=[*letters.values()])
    words = _WORDS.replace("{where}", where.sql)
    looked_for = [letters[step] for step in steps]
    if within is None:
        return _at_leisure(connections, words, where.values, looked_for)
    longest = within // timedelta(milliseconds=1)
    took: list[list[int]] = [[] for _ in steps]  # milliseconds from the step before, of those who got there
    for word, times in connections.rows(words, where.values):
        way = _furthest(word, times, looked_for, longest)
        before = way[0] if way else 0
        for step, place in zip(took, way, strict=False):
            step.append(times[place] - times[before])
            before = place
    return [
        Reached(len(each), timedelta(milliseconds=median(each)) if step and each else None)
        for step, each in enumerate(took)
    ]


def _at_leisure(
    connections: Connections, words: str, values: Mapping[str, Any], letters: Sequence[str]
) -> list[Reached]:
    ways = ["^"]
    for letter in letters:
        ways.append(f"{ways[-1]}[^{letter}]*{letter}")
    numbers = range(len(letters))
    sql = _PLACES.format(places=", ".join(_PLACE.format(step=step) for step in numbers), words=words)
    later = [{"step": step, "before": step - 1} for step in numbers[1:]]
    sql = _TOOK.format(took="".join(_STEP_TOOK.format(**step) for step in later), places=sql)
    sql = _MEDIANS.format(medians="".join(_MEDIAN.format(**step) for step in later), took=sql)
    [(sessions, *rest)] = connections.rows(sql, {**values, **{f"way_{step}": way for step, way in enumerate(ways[1:])}})
    found = [Reached(sessions, None)]
    for number, low, high in zip(*[iter(rest)] * 3, strict=True):
        found.append(Reached(number, timedelta(milliseconds=(low + high) / 2) if number else None))
    return found


def _furthest(word: str, times: Sequence[int], letters: Sequence[str], within: int) -> list[int]:
    best: list[int] = []
    first = word.find(letters[0])
    while first >= 0:
        way = _way(word, times, letters, first, within)
        if len(way) > len(best):
            best = way
        if len(best) == len(letters):
            break  # none that begins later gets further
        first = word.find(letters[0], first + 1)
    return best


def _way(word: str, times: Sequence[int], letters: Sequence[str], first: int, within: int) -> list[int]:
    way = [first]
    for letter in letters[1:]:
        place = word.find(letter, way[-1] + 1)
        if place < 0 or times[place] - times[first] > within:
            break
        way.append(place)
    return way
