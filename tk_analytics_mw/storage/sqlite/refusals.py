"""Refusals in the SQLite file: the tables ``refusals`` and ``refusal_samples``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Final

from tk_analytics_mw.storage.refusals import DAYS, MOST_A_DAY, OTHER, SAMPLES, Refusal, Sample
from tk_analytics_mw.storage.sqlite.connections import Connections

_ADD: Final = (
    "UPDATE refusals SET number = number + ? WHERE day = ? AND org_id = ? AND token = ? AND reason = ? AND origin = ?"
)
_NEW: Final = "INSERT INTO refusals (number, day, org_id, token, reason, origin) VALUES (?, ?, ?, ?, ?, ?)"


class SqliteRefusals:
    """See :class:`~tk_analytics_mw.storage.refusals.RefusalStore`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def add(self, day: date, counts: Mapping[Refusal, int], samples: Sequence[Sample]) -> None:
        """See :meth:`RefusalStore.add <tk_analytics_mw.storage.refusals.RefusalStore.add>`."""
        today = day.isoformat()
        with self._connections.transaction() as connection:
            room = (
                MOST_A_DAY - connection.execute("SELECT count(*) FROM refusals WHERE day = ?", (today,)).fetchone()[0]
            )
            for refusal, number in counts.items():
                if connection.execute(_ADD, (number, today, *refusal)).rowcount:
                    continue
                if room <= 0:
                    refusal = refusal._replace(token=OTHER, origin=OTHER)  # noqa: PLW2901
                    if connection.execute(_ADD, (number, today, *refusal)).rowcount:
                        continue
                connection.execute(_NEW, (number, today, *refusal))
                room -= 1
            connection.execute("DELETE FROM refusals WHERE day < ?", ((day - timedelta(days=DAYS)).isoformat(),))
            connection.executemany(
                "INSERT INTO refusal_samples (refused_at, org_id, token, reason, origin, path) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(each.refused_at.timestamp(), *each.refusal, each.path) for each in samples],
            )
            connection.executemany(
                "DELETE FROM refusal_samples WHERE org_id = ? AND id <= "
                "(SELECT id FROM refusal_samples WHERE org_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                [(org_id, org_id, SAMPLES) for org_id in {each.refusal.org_id for each in samples}],
            )

    def counts(self, *, since: date, org_id: str | None = None) -> list[tuple[Refusal, int]]:
        """See :meth:`RefusalStore.counts <tk_analytics_mw.storage.refusals.RefusalStore.counts>`."""
        with self._connections.reading() as snapshot:
            rows = snapshot.execute(
                "SELECT org_id, token, reason, origin, sum(number) FROM refusals "
                "WHERE day >= ? AND (? IS NULL OR org_id = ?) GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4",
                (since.isoformat(), org_id, org_id),
            ).fetchall()
        return [(Refusal(*key), number) for *key, number in rows]

    def samples(self, *, limit: int, org_id: str | None = None) -> list[Sample]:
        """See :meth:`RefusalStore.samples <tk_analytics_mw.storage.refusals.RefusalStore.samples>`."""
        with self._connections.reading() as snapshot:
            rows = snapshot.execute(
                "SELECT refused_at, path, org_id, token, reason, origin FROM refusal_samples "
                "WHERE ? IS NULL OR org_id = ? ORDER BY refused_at DESC, id DESC LIMIT ?",
                (org_id, org_id, limit),
            ).fetchall()
        return [
            Sample(datetime.fromtimestamp(refused_at, timezone.utc), Refusal(*key), path)
            for refused_at, path, *key in rows
        ]
