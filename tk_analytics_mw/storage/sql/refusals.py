"""Refusals in an SQL database: the tables ``tk_analytics_refusals`` and ``…_refusal_samples``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.dialects import mysql, postgresql

from tk_analytics_mw.storage.refusals import DAYS, MOST_A_DAY, OTHER, SAMPLES, Refusal, Sample
from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.schema import refusal_samples, refusals


class SqlRefusals:
    """See :class:`~tk_analytics_mw.storage.refusals.RefusalStore`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def add(self, day: date, counts: Mapping[Refusal, int], samples: Sequence[Sample]) -> None:
        """See :meth:`RefusalStore.add <tk_analytics_mw.storage.refusals.RefusalStore.add>`."""
        with self._connections.writing() as connection:
            rows = _bounded(connection, day, counts)
            if rows:
                # In one order, so that two processes that add the same wait for one another, and not in a ring.
                connection.execute(_added(connection), [rows[key] for key in sorted(rows)])
            connection.execute(delete(refusals).where(refusals.c.day < day - timedelta(days=DAYS)))
            if samples:
                connection.execute(
                    insert(refusal_samples),
                    [{"refused_at": each.refused_at, "path": each.path, **each.refusal._asdict()} for each in samples],
                )
            for org_id in sorted({each.refusal.org_id for each in samples}):
                _forget_older(connection, org_id)

    def counts(self, *, since: date, org_id: str | None = None) -> list[tuple[Refusal, int]]:
        """See :meth:`RefusalStore.counts <tk_analytics_mw.storage.refusals.RefusalStore.counts>`."""
        names = [refusals.c[name] for name in Refusal._fields]
        number = func.sum(refusals.c.number)
        statement = select(*names, number).where(refusals.c.day >= since).group_by(*names)
        if org_id is not None:
            statement = statement.where(refusals.c.org_id == org_id)
        with self._connections.reading() as connection:
            rows = connection.execute(statement.order_by(number.desc(), *names)).all()
        return [(Refusal(*key), int(total)) for *key, total in rows]

    def samples(self, *, limit: int, org_id: str | None = None) -> list[Sample]:
        """See :meth:`RefusalStore.samples <tk_analytics_mw.storage.refusals.RefusalStore.samples>`."""
        c = refusal_samples.c
        statement = select(c.refused_at, c.path, *(c[name] for name in Refusal._fields))
        if org_id is not None:
            statement = statement.where(c.org_id == org_id)
        with self._connections.reading() as connection:
            rows = connection.execute(statement.order_by(c.refused_at.desc(), c.id.desc()).limit(limit)).all()
        return [Sample(refused_at, Refusal(*key), path) for refused_at, path, *key in rows]


def _bounded(connection: Connection, day: date, counts: Mapping[Refusal, int]) -> dict[str, dict[str, Any]]:
    """Rows by their keys. What is new when a day has enough is counted without its token and origin."""
    keys = {_key(refusal): refusal for refusal in counts}
    today = refusals.c.day == day
    there = {*connection.execute(select(refusals.c.key).where(today, refusals.c.key.in_([*keys]))).scalars()}
    room = MOST_A_DAY
    if len(there) < len(keys):
        room -= connection.execute(select(func.count()).select_from(refusals).where(today)).scalar_one()
    rows: dict[str, dict[str, Any]] = {}
    for key, refusal in keys.items():
        number = counts[refusal]
        if key not in there:
            room -= 1
            if room < 0:
                refusal = refusal._replace(token=OTHER, origin=OTHER)  # noqa: PLW2901
                key = _key(refusal)  # noqa: PLW2901
        row = rows.setdefault(key, {"day": day, "key": key, "number": 0, **refusal._asdict()})
        row["number"] += number
    return rows


def _added(connection: Connection) -> Any:
    if connection.dialect.name == "postgresql":
        new = postgresql.insert(refusals)
        return new.on_conflict_do_update(
            index_elements=["day", "key"], set_={"number": refusals.c.number + new.excluded.number}
        )
    other = mysql.insert(refusals)
    return other.on_duplicate_key_update(number=refusals.c.number + other.inserted.number)


def _forget_older(connection: Connection, org_id: str) -> None:
    """Keep an organisation's last samples."""
    c = refusal_samples.c
    last = connection.execute(
        select(c.id).where(c.org_id == org_id).order_by(c.id.desc()).limit(1).offset(SAMPLES)
    ).scalar()
    if last is not None:
        connection.execute(delete(refusal_samples).where(c.org_id == org_id, c.id <= last))


def _key(refusal: Refusal) -> str:
    return hashlib.sha256(json.dumps(refusal).encode()).hexdigest()
