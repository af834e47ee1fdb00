"""How far sessions got, counted by ClickHouse.

Its own ``windowFunnel`` takes one event for two steps that are the same, and begins anew where ours goes on. So a
session is a word here, with one letter for each of its events, in order; a step is at the next place of its letter
behind the step before. :mod:`tk_analytics_mw.storage.funnels` says what is counted; the suites compare.

(Arrays and lambdas say the same. ClickHouse took a quarter of a second to read such a statement of five steps.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.clickhouse.conditions import condition
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.schema import EVENTS
from tk_analytics_mw.storage.figures import Reached

_WORDS: Final = """
    SELECT session_id, tupleElement(sorted, 1) AS times, arrayStringConcat(tupleElement(sorted, 3)) AS word
    FROM (
        SELECT session_id, arraySort(groupArray((
            toUnixTimestamp64Milli(created_at), position, transform(toString(event_type), {{types:Array(String)}},
            {{letters:Array(String)}}, '')
        ))) AS sorted
        FROM {events} FINAL WHERE {where} GROUP BY session_id
    )
"""

# Where a way begins: without a limit of time none that begins later gets further, else it may at each first step.
_FIRST: Final = """
    SELECT session_id, times, word, position(word, {{letter_1:String}}) AS at_1 FROM ({source}) WHERE at_1 > 0
"""
_EVERY: Final = """
    SELECT session_id, times, word, at_1 FROM ({source}) ARRAY JOIN arrayEnumerate(times) AS at_1
    WHERE substring(word, at_1, 1) = {{letter_1:String}}
"""

# Each further step is a query around the one before.
_NEXT: Final = """
    SELECT session_id, times, word, {before}, {reached} AS at_{step}
    FROM (
        SELECT session_id, times, word, {before},
            if(at_{last} = 0, 0, position(word, {{letter_{step}:String}}, at_{last} + 1)) AS next
        FROM ({source})
    )
"""
_IN_TIME: Final = "if(next > 0 AND times[next] - times[at_1] <= {within:Int64}, next, 0)"

# Of each step the moment, 0 for none; of several ways those of the one that leads furthest, of such the first one.
_MOMENTS: Final = "SELECT session_id, at_1, {moments}, {depth} AS depth FROM ({source})"
_BEST: Final = "SELECT {best} FROM ({source}) AS way GROUP BY way.session_id"

# The lower and the upper middle of equally many: an exact quantile takes the upper one.
_MEDIAN: Final = "(quantileExactIf(0.5)({took}, {there}) - quantileExactIf(0.5)(-{took}, {there})) / 2"


def reached(connections: Connections, wanted: Filter, steps: Sequence[str], within: timedelta | None) -> list[Reached]:
    """See :meth:`Figures.funnel <tk_analytics_mw.storage.figures.Figures.funnel>`."""
    types = sorted({*steps})
    letters = {type_: chr(ord("A") + number) for number, type_ in enumerate(types)}
    where = condition(wanted).also("event_type IN {types:Array(String)}", types=types)
    values = {**where.values, "letters": list(letters.values())}
    values |= {f"letter_{number}": letters[step] for number, step in enumerate(steps, 1)}
    if within is not None:
        values["within"] = within // timedelta(milliseconds=1)
    [row] = connections.rows(_statement(where.sql, len(steps), timed=within is not None), values)
    return [
        Reached(number, timedelta(milliseconds=median) if step and number else None)
        for step, (number, median) in enumerate(zip(row[::2], row[1::2], strict=True))
    ]


def _statement(where: str, steps: int, *, timed: bool) -> str:
    source = (_EVERY if timed else _FIRST).format(source=_WORDS.format(events=EVENTS, where=where))
    numbers = range(1, steps + 1)
    for step in numbers[1:]:
        source = _NEXT.format(
            before=", ".join(f"at_{number}" for number in range(1, step)),
            reached=_IN_TIME if timed else "next",
            last=step - 1,
            step=step,
            source=source,
        )
    source = _MOMENTS.format(
        moments=", ".join(f"if(at_{step} = 0, 0, times[at_{step}]) AS moment_{step}" for step in numbers),
        depth=" + ".join(f"(at_{step} > 0)" for step in numbers),
        source=source,
    )
    if timed:
        best = [f"argMax(way.moment_{step}, (depth, -toInt64(at_1))) AS moment_{step}" for step in numbers]
        source = _BEST.format(best=", ".join(best), source=source)
    return f"SELECT {', '.join(_figures(steps))} FROM ({source})"  # noqa: S608 - fixed words


def _figures(steps: int) -> Iterator[str]:
    yield from ("count()", "0")
    for step in range(2, steps + 1):
        there = f"moment_{step} > 0"
        yield f"countIf({there})"
        yield _MEDIAN.format(took=f"(moment_{step} - moment_{step - 1})", there=there)
