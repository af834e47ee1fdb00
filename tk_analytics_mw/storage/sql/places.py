"""Positions of events that were written in a transaction of the host's: given once that has been committed.

The process that wrote them does it at once. Should it die in between, whoever asks next for what has a position does.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, select, text, update

from tk_analytics_mw.storage.sql.connections import Connections
from tk_analytics_mw.storage.sql.schema import deliveries, events, positions

# As everybody else who gives positions: the row of the counter stays locked until they can be seen. What another one
# has placed while we waited for it is passed over.
_PLACE: Final = text("""
    WITH unplaced AS (
        SELECT id, row_number() OVER (ORDER BY id) AS number FROM tk_analytics_events WHERE position IS NULL
    ), counter AS (
        UPDATE tk_analytics_positions SET last = last + (SELECT count(*) FROM unplaced)
        WHERE id = 1 AND set_config('lock_timeout', :patience, true) <> ''
        RETURNING last - (SELECT count(*) FROM unplaced) AS before
    ), placed AS (
        UPDATE tk_analytics_events AS event SET position = counter.before + unplaced.number
        FROM unplaced, counter WHERE event.id = unplaced.id AND event.position IS NULL
        RETURNING event.id, event.position
    ), delivered AS (
        UPDATE tk_analytics_deliveries AS delivery SET position = placed.position
        FROM placed WHERE delivery.event_id = placed.id
    )
    SELECT count(*) FROM placed
""")


def place(connections: Connections) -> None:
    """Give all events that have been committed their positions, and their deliveries with them."""
    if connections.is_postgresql:
        patience = f"{round(1000 * connections.commit_timeout)}ms"
        connections.at_once(lambda connection: connection.execute(_PLACE, {"patience": patience}).scalar_one())
        return
    with connections.writing() as connection:
        last = connection.execute(select(positions.c.last).with_for_update()).scalar_one()
        ids = connection.execute(select(events.c.id).where(events.c.position.is_(None)).order_by(events.c.id))
        rows = [{"which": id_, "place": last + number} for number, id_ in enumerate(ids.scalars(), start=1)]
        if rows:
            connection.execute(update(positions).values(last=last + len(rows)))
            for table, column in ((events, events.c.id), (deliveries, deliveries.c.event_id)):
                connection.execute(
                    update(table).where(column == bindparam("which")).values(position=bindparam("place")), rows
                )


def some_wait(connection: Connection) -> bool:
    """Whether an event has been committed that has no position yet."""
    return connection.execute(select(events.c.id).where(events.c.position.is_(None)).limit(1)).first() is not None
