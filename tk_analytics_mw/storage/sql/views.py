"""How many events there are from one moment to the next: from the hours of summed days, and from the events."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, column, func, literal, select, union_all
from sqlalchemy.dialects import postgresql

from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.sql.filters import conditions, shape_of, timeless, up_to_millisecond, values_of
from tk_analytics_mw.storage.sql.schema import events, hour_totals
from tk_analytics_mw.storage.sql.totals import ALL_TYPES, day_of, days_summed, start_of

TOGETHER: Final = 200
"""Stretches that are counted by one statement where the engine takes no arrays."""

FEW: Final = 100
"""Days that are asked for one by one."""

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)

Stretch = tuple[datetime, datetime]
"""From a moment to before another one."""


def is_counted(wanted: Filter) -> bool:
    """Whether hours are counted for this."""
    return set(wanted.equals) <= {"event_type"} and not wanted.metadata


def whole_days(since: datetime, until: datetime) -> tuple[date, date] | None:
    """The days that lie between as a whole: the first one, and the one after the last. ``None`` for none."""
    if since >= until:
        return None
    first, end = day_of(since + _DAY - timedelta(microseconds=1)), day_of(until)
    return (first, end) if first < end else None


def count_events(connection: Connection, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
    """Look at the events. See :meth:`Figures.views <tk_analytics_mw.storage.figures.Figures.views>`."""
    return _count(connection, wanted, [*pairwise(map(up_to_millisecond, edges))])


def count_hours(connection: Connection, wanted: Filter, edges: Sequence[datetime]) -> list[int]:
    """Look at the hours of summed days, and at the events of what is not an hour, or of another day.

    Args:
        connection: with a snapshot.
        wanted: for which :func:`is_counted` is true.
        edges: ascending.
    """
    edges = [*map(up_to_millisecond, edges)]
    summed = days_summed(connection, wanted.org_id, day_of(edges[0]), day_of(edges[-1]) + _DAY)
    if not summed:
        return count_events(connection, wanted, edges)
    hours: list[Stretch] = []
    rest: list[tuple[int, Stretch]] = []
    for number, (start, end) in enumerate(pairwise(edges)):
        first, last = _hour(start + _HOUR - timedelta(microseconds=1)), _hour(end)
        if first < last:
            hours.append((first, last))
            rest += [(number, (start, first)), (number, (last, end))]
        else:
            hours.append((start, start))
            rest.append((number, (start, end)))
    counts = _of_hours(connection, wanted, hours, summed)
    rest += _overlaps(hours, [*between(edges[0], edges[-1], summed)])
    rest = [(number, stretch) for number, stretch in rest if stretch[0] < stretch[1]]
    for (number, _), count in zip(rest, _count(connection, wanted, [each for _, each in rest]), strict=True):
        counts[number] += count
    return counts


def between(since: datetime, until: datetime, days: Sequence[date]) -> Iterator[Stretch]:
    """The stretches from ``since`` to ``until`` that are in none of the days."""
    for day in days:
        start = start_of(day)
        if since < start:
            yield since, min(start, until)
        since = max(since, start + _DAY)
    if since < until:
        yield since, until


def _of_hours(
    connection: Connection, wanted: Filter, stretches: Sequence[Stretch], summed: Sequence[date]
) -> list[int]:
    """How many events summed hours have in each stretch. Stretches are ascending, and begin and end with hours."""
    # Whole days, but for those within which a stretch begins or ends.
    cut = {day_of(moment) for stretch in stretches for moment in stretch if moment.hour}
    c = hour_totals.c
    statement = select(c.day, func.sum(c.events)).where(
        c.org_id == wanted.org_id,
        c.event_type == wanted.equals.get("event_type", ALL_TYPES),
        c.day >= summed[0],
        c.day <= summed[-1],
    )
    rows: list[Any] = []
    if not cut.issuperset(summed):
        whole = connection.execute(statement.group_by(c.day)).all()
        rows += [(day, 0, total) for day, total in whole if day not in cut]
    if cut:
        some = statement.where(c.day.in_(cut)) if len(cut) <= FEW else statement
        hours = connection.execute(some.add_columns(c.hour).group_by(c.day, c.hour)).all()
        rows += [(day, hour, total) for day, total, hour in hours if day in cut]
    ready = {*summed}
    starts, ends = [start for start, _ in stretches], [end for _, end in stretches]
    counts = [0] * len(stretches)
    for day, number, total in rows:
        moment = start_of(day) + number * _HOUR
        place = bisect_right(starts, moment) - 1
        while place >= 0 and starts[place] == ends[place]:  # one of no whole hour
            place -= 1
        if place >= 0 and moment < ends[place] and day in ready:
            counts[place] += int(total)
    return counts


def _count(connection: Connection, wanted: Filter, stretches: Sequence[Stretch]) -> list[int]:
    """How many events there are in each stretch."""
    if not stretches:
        return []
    some = len(stretches) if connection.dialect.name == "postgresql" else TOGETHER
    found: list[int] = []
    for first in range(0, len(stretches), some):
        asked = _table_of(connection, stretches[first : first + some])
        number = (
            select(func.count())
            .select_from(events)
            .where(
                *conditions(shape_of(connection, timeless(wanted))),
                events.c.created_at >= asked.c.since,
                events.c.created_at < asked.c.until,
            )
            .scalar_subquery()
        )
        statement = select(number).select_from(asked).order_by(asked.c.number)
        found += connection.execute(statement, values_of(timeless(wanted))).scalars()
    return found


def _table_of(connection: Connection, stretches: Sequence[Stretch]) -> Any:
    moment = events.c.created_at.type
    if connection.dialect.name == "postgresql":
        arrays = [literal(list(each), postgresql.ARRAY(moment)) for each in zip(*stretches, strict=True)]
        return (
            func.unnest(*arrays)
            .table_valued(column("since", moment), column("until", moment), with_ordinality="number", name="asked")
            .render_derived()
        )
    return union_all(
        *(
            select(literal(number, BigInteger).label("number"), literal(since, moment).label("since"),
                   literal(until, moment).label("until"))
            for number, (since, until) in enumerate(stretches)
        )
    ).subquery("asked")  # fmt: skip


def _overlaps(these: Sequence[Stretch], those: Sequence[Stretch]) -> Iterator[tuple[int, Stretch]]:
    """What both have in common, with the place in ``these``. Both are ascending."""
    number = 0
    for start, end in those:
        while number and these[number - 1][1] > start:
            number -= 1
        while number < len(these) and these[number][0] < end:
            yield number, (max(start, these[number][0]), min(end, these[number][1]))
            number += 1


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
