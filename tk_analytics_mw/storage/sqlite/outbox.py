"""Deliveries of durable hooks in the SQLite file: the tables ``deliveries`` and ``subscriptions``."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from tk_analytics_mw.storage.outbox import Counts, Delivery, DeliveryQuery, DeliveryRow, Outcome, Subscription
from tk_analytics_mw.storage.outbox import delivery_id as id_of
from tk_analytics_mw.storage.rows import event_of
from tk_analytics_mw.storage.sqlite import outbox_statements as sql
from tk_analytics_mw.storage.sqlite.connections import Connections

SLICE: Final = 1_000
"""Events of the past that are filled in within one transaction: some 3 ms, for which writers wait."""


class SqliteOutbox:
    """See :class:`~tk_analytics_mw.storage.outbox.Outbox`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def last_position(self, connection: sqlite3.Connection) -> int:
        """The position of the last event that is stored, within the transaction of ``connection``."""
        position: int | None = connection.execute("SELECT max(position) FROM events").fetchone()[0]
        return position or 0

    def add(
        self,
        connection: sqlite3.Connection,
        due: Sequence[Subscription],
        *,
        after: int,
        until: int | None = None,
    ) -> None:
        """Add the deliveries of the events behind position ``after`` (up to ``until``), within the transaction.

        Only events that were really stored have a new position: a repeated one is not delivered again.
        """
        for subscription in due:
            types = tuple(sorted(subscription.event_types))
            wanted = f" AND event_type IN ({', '.join('?' * len(types))})" if types else ""
            connection.execute(
                "INSERT INTO deliveries (name, position, event_id) SELECT ?, position, id FROM events "  # noqa: S608
                f"WHERE position > ? AND position <= ?{wanted} ON CONFLICT DO NOTHING",
                (subscription.name, after, 2**63 - 1 if until is None else until, *types),
            )

    def enroll(self, subscription: Subscription, *, now: float) -> bool:
        """See :meth:`Outbox.enroll <tk_analytics_mw.storage.outbox.Outbox.enroll>`."""
        name = subscription.name
        with self._connections.reading() as snapshot:
            found = snapshot.execute("SELECT backfill_after FROM subscriptions WHERE name = ?", (name,)).fetchone()
        if found is not None and found[0] is None:
            return False
        with self._connections.transaction() as connection:
            until = self.last_position(connection) if subscription.since == "all" else None
            connection.execute(
                "INSERT INTO subscriptions (name, enrolled_at, backfill_after, backfill_until) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (name, now, None if until is None else 0, until),
            )
            after, until = connection.execute(
                "SELECT backfill_after, backfill_until FROM subscriptions WHERE name = ?", (name,)
            ).fetchone()
            if after is None:
                return False
            end = min(after + SLICE, until)
            self.add(connection, [subscription], after=after, until=end)
            done = end >= until
            connection.execute(
                "UPDATE subscriptions SET backfill_after = ? WHERE name = ?", (None if done else end, name)
            )
            return not done

    def claim(self, name: str, *, owner: str, limit: int, now: float, until: float, ordered: bool) -> list[Delivery]:
        """See :meth:`Outbox.claim <tk_analytics_mw.storage.outbox.Outbox.claim>`."""
        with self._connections.reading() as snapshot:  # nearly always nothing: nobody is to wait for that
            if not snapshot.execute(sql.IS_DUE, (name, name, now)).fetchone()[0]:
                return []
        with self._connections.transaction() as connection:
            if connection.execute("SELECT 1 FROM subscriptions WHERE name = ? AND off IS NOT NULL", (name,)).fetchone():
                return []
            positions, lost = _due(connection, name, limit=limit, now=now, ordered=ordered)
            connection.execute(_among(sql.TAKE, positions), (owner, until, lost, now, name, *positions))
            rows = {row[0]: row[1:] for row in connection.execute(_among(sql.TAKEN, positions), (name, *positions))}
            gone = [(name, position) for position in positions if position not in rows]  # deleted by hand
            connection.executemany("DELETE FROM deliveries WHERE name = ? AND position = ?", gone)
            return [_delivery(name, rows[position]) for position in positions if position in rows]

    def renew(self, owner: str, *, until: float) -> None:
        """See :meth:`Outbox.renew <tk_analytics_mw.storage.outbox.Outbox.renew>`."""
        with self._connections.transaction() as connection:
            connection.execute(sql.RENEW, (until, owner))

    def settle(self, owner: str, outcomes: Sequence[Outcome], *, now: float) -> None:
        """See :meth:`Outbox.settle <tk_analytics_mw.storage.outbox.Outbox.settle>`."""
        with self._connections.transaction() as connection:
            alike: dict[tuple[Any, ...], list[str]] = {}  # nearly always all of them: one statement for a batch
            for each in outcomes:
                what = each.state, each.error, each.due_at, each.delivery.name
                alike.setdefault(what, []).append(each.delivery.event.id)
            for (state, error, due_at, name), ids in alike.items():
                settled_at = None if state == "retrying" else now
                changed = connection.execute(
                    _among(sql.SETTLE, ids), (state, error, due_at, settled_at, name, owner, *ids)
                ).rowcount
                _count(connection, name, state, changed)

    def release(self, owner: str) -> None:
        """See :meth:`Outbox.release <tk_analytics_mw.storage.outbox.Outbox.release>`."""
        with self._connections.transaction() as connection:
            connection.execute(sql.RELEASE, (owner,))

    def switch(self, name: str, *, off: str | None) -> None:
        """See :meth:`Outbox.switch <tk_analytics_mw.storage.outbox.Outbox.switch>`."""
        with self._connections.transaction() as connection:
            connection.execute("UPDATE subscriptions SET off = ? WHERE name = ?", (off, name))

    def counts(self) -> Mapping[str, Counts]:
        """See :meth:`Outbox.counts <tk_analytics_mw.storage.outbox.Outbox.counts>`."""
        found: dict[str, dict[str, Any]] = {}
        with self._connections.reading() as snapshot:
            for name, delivered, discarded, off in snapshot.execute(
                "SELECT name, delivered, discarded, off FROM subscriptions"
            ):
                found[name] = {"delivered": delivered, "discarded": discarded, "off": off}
            for name, state, failed, number, oldest in snapshot.execute(sql.COUNTS):
                counts = found.setdefault(name, {})
                if state == "dead":
                    counts["dead"] = counts.get("dead", 0) + number
                    continue
                counts["pending"] = counts.get("pending", 0) + number
                counts["failed"] = counts.get("failed", 0) + (number if failed else 0)
                counts["oldest_event"] = min(counts.get("oldest_event", oldest), oldest)
            for counts in found.values():
                if "oldest_event" in counts:
                    row = snapshot.execute("SELECT id FROM events WHERE position = ?", (counts["oldest_event"],))
                    counts["oldest_event"] = row.fetchone()[0]
        return {name: Counts(**counts) for name, counts in sorted(found.items())}

    def find(self, query: DeliveryQuery, *, limit: int) -> list[DeliveryRow]:
        """See :meth:`Outbox.find <tk_analytics_mw.storage.outbox.Outbox.find>`."""
        where, values = _where(query)
        with self._connections.reading() as snapshot:
            rows = snapshot.execute(
                "SELECT name, event_id, state, attempts, due_at, first_tried_at, settled_at, error FROM deliveries "  # noqa: S608
                f"WHERE {where} ORDER BY position DESC LIMIT ?",
                (*values, limit),
            ).fetchall()
        return [DeliveryRow(id_of(row[0], row[1]), *row) for row in rows]

    def replay(self, query: DeliveryQuery) -> int:
        """See :meth:`Outbox.replay <tk_analytics_mw.storage.outbox.Outbox.replay>`."""
        where, values = _where(query)
        with self._connections.transaction() as connection:
            return connection.execute(
                "UPDATE deliveries SET state = 'pending', attempts = 0, due_at = NULL, first_tried_at = NULL, "  # noqa: S608
                f"settled_at = NULL, error = NULL WHERE {where} AND state IN ('delivered', 'dead', 'discarded')",
                values,
            ).rowcount

    def discard(self, query: DeliveryQuery, *, why: str, now: float) -> int:
        """See :meth:`Outbox.discard <tk_analytics_mw.storage.outbox.Outbox.discard>`."""
        where, values = _where(query)
        with self._connections.transaction() as connection:
            where += " AND state IN ('pending', 'retrying', 'dead')"
            found = connection.execute(
                f"SELECT name, count(*) FROM deliveries WHERE {where} GROUP BY name",  # noqa: S608
                values,
            ).fetchall()
            connection.execute(
                f"UPDATE deliveries SET state = 'discarded', due_at = NULL, settled_at = ?, error = ? WHERE {where}",  # noqa: S608
                (now, why, *values),
            )
            for name, number in found:
                _count(connection, name, "discarded", number)
            return sum(number for _, number in found)

    def forget(self, *, before: float, limit: int) -> int:
        """See :meth:`Outbox.forget <tk_analytics_mw.storage.outbox.Outbox.forget>`."""
        with self._connections.transaction() as connection:
            rows = connection.execute(sql.FORGET, (before, limit)).fetchall()
            connection.executemany("DELETE FROM deliveries WHERE name = ? AND position = ?", rows)
            return len(rows)


def _due(connection: sqlite3.Connection, name: str, *, limit: int, now: float, ordered: bool) -> tuple[list[int], bool]:
    """The positions to take, and whether they were lost by another deliverer."""

    def positions(statement: str, *values: Any) -> list[int]:
        return [row[0] for row in connection.execute(statement, (name, *values))]

    if ordered and connection.execute(sql.NOT_YET, (name, now)).fetchone()[0]:
        return [], False
    lost = positions(sql.LOST, now)
    if lost:
        return lost, True
    retries = positions(sql.RETRIES, now, 1 if ordered else max(limit // 2, 1))
    if ordered and retries:
        return retries, False
    return [*retries, *positions(sql.PENDING, limit - len(retries))], False


def _among(statement: str, values: Sequence[object]) -> str:
    return statement.format(", ".join("?" * len(values)))


def _delivery(name: str, row: Sequence[Any]) -> Delivery:
    attempts, first_tried_at, *event_row = row
    event = event_of(event_row)
    return Delivery(
        id=id_of(name, event.id),
        name=name,
        event=event,
        attempt=attempts + 1,
        first_tried_at=datetime.fromtimestamp(first_tried_at, timezone.utc),
    )


def _count(connection: sqlite3.Connection, name: str, state: str, number: int) -> None:
    if state in ("delivered", "discarded"):  # the names of columns, too
        connection.execute(f"UPDATE subscriptions SET {state} = {state} + ? WHERE name = ?", (number, name))  # noqa: S608


def _where(query: DeliveryQuery) -> tuple[str, list[Any]]:
    """A condition of fixed words, and the values for it."""
    parts, values = ["1"], []
    name, event_id = query.name, query.event_id
    if query.id is not None:
        name, _, event_id = query.id.rpartition(":")
    for condition, value in (("name = ?", name), ("event_id = ?", event_id), ("event_id < ?", query.before)):
        if value is not None:
            parts.append(condition)
            values.append(value)
    if query.states:
        parts.append(f"state IN ({', '.join('?' * len(query.states))})")
        values.extend(query.states)
    return " AND ".join(parts), values
