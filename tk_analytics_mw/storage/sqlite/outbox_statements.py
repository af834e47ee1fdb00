"""What the outbox asks of SQLite."""

from __future__ import annotations

from typing import Final

from tk_analytics_mw.storage.rows import COLUMNS

_EVENT: Final = ", ".join(f"events.{name}" for name in COLUMNS)

# Each of these is answered from an index that holds nothing else. SQLite would rather take the primary key, and with
# it the whole history of a name.
_PENDING_INDEX: Final = "deliveries INDEXED BY deliveries_pending"
_LATER_INDEX: Final = "deliveries INDEXED BY deliveries_later"
_DEAD_INDEX: Final = "deliveries INDEXED BY deliveries_dead"
_SETTLED_INDEX: Final = "deliveries INDEXED BY deliveries_settled"

IS_DUE: Final = f"""
    SELECT EXISTS (SELECT 1 FROM {_PENDING_INDEX} WHERE name = ? AND state = 'pending')
        OR EXISTS (SELECT 1 FROM {_LATER_INDEX} WHERE name = ? AND state IN ('running', 'retrying') AND due_at <= ?)
"""  # noqa: S608 - fixed words, here and below
LOST: Final = f"""
    SELECT position FROM {_LATER_INDEX} WHERE name = ? AND state = 'running' AND due_at <= ? ORDER BY position LIMIT 1
"""  # noqa: S608
RETRIES: Final = f"""
    SELECT position FROM {_LATER_INDEX} WHERE name = ? AND state = 'retrying' AND due_at <= ? ORDER BY due_at LIMIT ?
"""  # noqa: S608
PENDING: Final = f"""
    SELECT position FROM {_PENDING_INDEX} WHERE name = ? AND state = 'pending' ORDER BY position LIMIT ?
"""  # noqa: S608
NOT_YET: Final = f"""
    SELECT EXISTS (
        SELECT 1 FROM {_LATER_INDEX} WHERE name = ? AND state IN ('running', 'retrying') AND due_at > ?
    )
"""  # noqa: S608
COUNTS: Final = f"""
    SELECT name, 'pending', 0, count(*), min(position) FROM {_PENDING_INDEX} WHERE state = 'pending' GROUP BY name
    UNION ALL
    SELECT name, 'later', attempts > 0, count(*), min(position) FROM {_LATER_INDEX} WHERE due_at IS NOT NULL
    GROUP BY name, attempts > 0
    UNION ALL
    SELECT name, 'dead', 0, count(*), NULL FROM {_DEAD_INDEX} WHERE state = 'dead' GROUP BY name
"""  # noqa: S608
FORGET: Final = f"""
    SELECT name, position FROM {_SETTLED_INDEX} WHERE settled_at < ? AND state IN ('delivered', 'discarded') LIMIT ?
"""  # noqa: S608
RENEW: Final = f"""
    UPDATE {_LATER_INDEX} SET due_at = ? WHERE due_at IS NOT NULL AND state = 'running' AND owner = ?
"""  # noqa: S608
RELEASE: Final = f"""
    UPDATE {_LATER_INDEX} SET owner = NULL, due_at = CASE attempts WHEN 0 THEN NULL ELSE 0 END,
        state = CASE attempts WHEN 0 THEN 'pending' ELSE 'retrying' END
    WHERE due_at IS NOT NULL AND state = 'running' AND owner = ?
"""  # noqa: S608
TAKE: Final = """
    UPDATE deliveries SET state = 'running', owner = ?, due_at = ?, attempts = attempts + ?,
        first_tried_at = coalesce(first_tried_at, ?)
    WHERE name = ? AND position IN ({})
"""
TAKEN: Final = f"""
    SELECT deliveries.position, deliveries.attempts, deliveries.first_tried_at, {_EVENT}
    FROM deliveries JOIN events ON events.position = deliveries.position
    WHERE deliveries.name = ? AND deliveries.position IN ({{}})
"""  # noqa: S608 - names of columns
SETTLE: Final = """
    UPDATE deliveries SET state = ?, error = ?, due_at = ?, settled_at = ?, attempts = attempts + 1, owner = NULL
    WHERE name = ? AND owner = ? AND state = 'running'
        AND position IN (SELECT position FROM events WHERE id IN ({}))
"""
