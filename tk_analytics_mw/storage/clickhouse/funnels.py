"""How far sessions got, counted by ClickHouse.

Its own ``windowFunnel`` takes one event for two steps that are the same, and begins anew where ours goes on. So the
events of a session are arrays here, in order, and a step is the first place in them behind the place of the step
before. :mod:`tk_analytics_mw.storage.funnels` says what is counted; the suites compare.
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

# ``begins``: the places at which a way may begin. ``way_2``: for each of them, where the second step is; 0 for nowhere.
# ``best``: of the ways that lead furthest the first one.
_SESSIONS: Final = """
    SELECT
        arrayMap(e -> e.3, sorted) AS types,
        arrayMap(e -> e.1, sorted) AS times,
        arrayEnumerate(types) AS places,
        {begins} AS begins,
        begins AS way_1,
        {ways}
        arrayMap(({numbers}) -> {depth}, {all_ways}) AS depths,
        indexOf(depths, arrayMax(depths)) AS best
    FROM (
        SELECT arraySort(groupArray((toUnixTimestamp64Milli(created_at), position, toString(event_type)))) AS sorted
        FROM {events} FINAL WHERE {where} GROUP BY session_id
    )
    WHERE notEmpty(begins)
"""
_BEGINS: Final = "arrayFilter((place, type) -> type = {step_1:String}, places, types)"
_WAY: Final = """
    arrayMap(
        (before, begin) -> if(before = 0, 0, arrayFirstIndex(
            (type, place, time) -> type = {{step_{step}:String}} AND place > before{in_time}, types, places, times
        )),
        way_{before}, begins
    ) AS way_{step},
"""
_IN_TIME: Final = " AND time - times[begin] <= {within:Int64}"

# The lower and the upper middle of equally many: an exact quantile takes the upper one.
_MEDIAN: Final = "(quantileExactIf(0.5)({took}, {there}) - quantileExactIf(0.5)(-{took}, {there})) / 2"


def reached(connections: Connections, wanted: Filter, steps: Sequence[str], within: timedelta | None) -> list[Reached]:
    """See :meth:`Figures.funnel <tk_analytics_mw.storage.figures.Figures.funnel>`."""
    where = condition(wanted).also("event_type IN {types:Array(String)}", types=sorted({*steps}))
    values = {**where.values, **{f"step_{number}": step for number, step in enumerate(steps, 1)}}
    if within is not None:
        values["within"] = within // timedelta(milliseconds=1)
    # Without a limit of time none that begins later gets further.
    begins = _BEGINS if within is not None else f"arraySlice({_BEGINS}, 1, 1)"
    numbers = range(1, len(steps) + 1)
    sessions = _SESSIONS.format(
        begins=begins,
        ways="".join(
            _WAY.format(step=step, before=step - 1, in_time="" if within is None else _IN_TIME) for step in numbers[1:]
        ),
        numbers=", ".join(f"n{step}" for step in numbers),
        depth=" + ".join(f"(n{step} > 0)" for step in numbers),
        all_ways=", ".join(f"way_{step}" for step in numbers),
        events=EVENTS,
        where=where.sql,
    )
    [row] = connections.rows(f"SELECT {', '.join(_figures(len(steps)))} FROM ({sessions})", values)  # noqa: S608
    return [
        Reached(number, timedelta(milliseconds=median) if step and number else None)
        for step, (number, median) in enumerate(zip(row[::2], row[1::2], strict=True))
    ]


def _figures(steps: int) -> Iterator[str]:
    yield from ("count()", "0")
    for step in range(2, steps + 1):
        there = f"way_{step}[best] > 0"
        took = f"(times[way_{step}[best]] - times[way_{step - 1}[best]])"
        yield f"countIf({there})"
        yield _MEDIAN.format(took=took, there=there)
