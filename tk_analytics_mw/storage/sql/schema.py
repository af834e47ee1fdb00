"""The tables, all named ``tk_analytics_…`` in the host's database."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Date,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    event,
    text,
)
from sqlalchemy.engine.interfaces import Dialect

from tk_analytics_mw.storage.rows import COLUMNS
from tk_analytics_mw.storage.sql.terms import TERMS
from tk_analytics_mw.storage.sql.triggers import statements
from tk_analytics_mw.storage.sql.types import Exact, Id, Json, Moment

VERSION_TABLE: Final = "tk_analytics_alembic_version"
"""Which migrations have been applied to these tables. The host's own have theirs."""

HEAD: Final = "0001"
"""The last migration: what a database must have. (Alembic, which knows it too, is imported by commands only.)"""

ID: Final = 200
"""Characters of an identifier, see :data:`tk_analytics_mw.events.MAX_ID`."""

KEY: Final = 450
"""Characters of an idempotency key: with another organisation's name, and a number in a batch."""

metadata: Final = MetaData()

_MYSQL: Final[dict[str, Any]] = {
    f"{name}_{option}": value
    for name in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("default_charset", "utf8mb4"), ("row_format", "DYNAMIC"))
}


def _not_postgresql(*_: Any, dialect: Dialect, **__: Any) -> bool:
    return dialect.name != "postgresql"


events: Final = Table(
    "tk_analytics_events",
    metadata,
    # A UUIDv7: what is stored now goes to the end of the index.
    Column("id", Id, primary_key=True),
    # The order of commits, which that of ids is not. NULL for a moment after a transaction of the host's: an event has
    # its place once that has been committed.
    Column("position", BigInteger),
    Column("created_at", Moment, nullable=False),
    Column("event_type", Exact(ID), nullable=False),
    Column("spelling", Exact(ID), nullable=False),
    Column("org_id", Exact(ID), nullable=False),
    Column("session_id", Exact(ID), nullable=False),
    Column("event_metadata", Json),
    Column("asset_id", Exact(ID)),
    Column("user_id", Exact(ID)),
    Column("config_id", Exact(ID)),
    Column("configuration", Json),
    Column("device", Exact),
    Column("device_type", Exact(ID)),
    Column("device_family", Exact),
    Column("system", Exact),
    Column("browser", Exact),
    Column("user_agent", Exact),
    Column("metric", Double, nullable=False),
    Column("request_url", Exact),
    Column("request_origin", Exact),
    Column("referer", Exact, nullable=False),
    Column("idempotency_key", Exact(KEY)),
    # NULL is unlike NULL here: events without a position, or without a key, are in nobody's way.
    Index("tk_analytics_events_position", "position", unique=True),
    Index(
        "tk_analytics_events_idempotency",
        "org_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    Index("tk_analytics_events_time", "org_id", "created_at", "position"),
    # By value: PostgreSQL has one index for all of them.
    Index(
        "tk_analytics_events_terms",
        text(f"({TERMS})"),
        text("event_metadata jsonb_path_ops"),
        postgresql_using="gin",
        # What waits in its list is looked through by every question, and put into order by one of those who write.
        postgresql_with={"gin_pending_list_limit": 2048},
    ).ddl_if(dialect="postgresql"),
    Index("tk_analytics_events_session", "org_id", "session_id").ddl_if(callable_=_not_postgresql),
    Index("tk_analytics_events_user", "org_id", "user_id").ddl_if(callable_=_not_postgresql),
    **_MYSQL,
)

EVENT: Final = tuple(events.c[name] for name in COLUMNS)
"""The columns of an event, in the order of :data:`~tk_analytics_mw.storage.rows.COLUMNS`."""

# One row. Whoever writes has it locked until the commit: so positions are committed in their order, and who reads on
# from one misses nothing.
positions: Final = Table(
    "tk_analytics_positions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    # Tells this database from others, however connections to it are spelled.
    Column("instance", Id, nullable=False),
    **_MYSQL,
)

deliveries: Final = Table(
    "tk_analytics_deliveries",
    metadata,
    Column("name", Exact(ID), primary_key=True),
    Column("event_id", Id, primary_key=True),
    # That of its event: deliveries come in this order. NULL as long as that one's is: not to be delivered yet.
    Column("position", BigInteger),
    Column("state", Exact(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    # Seconds since 1970, by the deliverer's clock.
    Column("due_at", Double),
    Column("first_tried_at", Double),
    Column("settled_at", Double),
    Column("owner", Exact(ID)),
    Column("error", Exact),
    # Each holds only what it is asked for, where the engine can do that: a long history of delivered ones costs
    # nothing.
    Index(
        "tk_analytics_deliveries_open",
        "name",
        "state",
        "position",
        postgresql_where=text("state IN ('pending', 'dead')"),
    ),
    Index("tk_analytics_deliveries_later", "name", "state", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("tk_analytics_deliveries_settled", "settled_at", postgresql_where=text("settled_at IS NOT NULL")),
    Index("tk_analytics_deliveries_owner", "owner", postgresql_where=text("owner IS NOT NULL")),
    Index("tk_analytics_deliveries_event", "event_id"),
    **_MYSQL,
)

subscriptions: Final = Table(
    "tk_analytics_subscriptions",
    metadata,
    Column("name", Exact(ID), primary_key=True),
    Column("enrolled_at", Double, nullable=False),
    Column("backfill_after", BigInteger),
    Column("backfill_until", BigInteger),
    Column("delivered", BigInteger, nullable=False),
    Column("discarded", BigInteger, nullable=False),
    Column("off", Exact),
    **_MYSQL,
)

# No token is in it, only its SHA-256.
tokens: Final = Table(
    "tk_analytics_tokens",
    metadata,
    Column("id", Exact(ID), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("kind", Exact(20), nullable=False),
    Column("org_id", Exact(ID), nullable=False),
    Column("domains", Json, nullable=False),
    Column("label", Exact, nullable=False),
    Column("created_at", Moment(6), nullable=False),
    Column("expires_at", Moment(6)),
    Column("revoked_at", Moment(6)),
    Column("last_used", Date),
    Column("rotated_from", Exact(ID)),
    Index("tk_analytics_tokens_digest", "digest", unique=True, mysql_length=32, mariadb_length=32),
    **_MYSQL,
)

refusals: Final = Table(
    "tk_analytics_refusals",
    metadata,
    Column("day", Date, primary_key=True),
    # SHA-256, in hexadecimal digits, of what is counted together: the texts themselves are longer than a key may be.
    Column("key", Exact(64), primary_key=True),
    Column("org_id", Exact(ID), nullable=False),
    Column("token", Exact, nullable=False),
    Column("reason", Exact, nullable=False),
    Column("origin", Exact, nullable=False),
    Column("number", BigInteger, nullable=False),
    **_MYSQL,
)

refusal_samples: Final = Table(
    "tk_analytics_refusal_samples",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("org_id", Exact(ID), nullable=False),
    Column("refused_at", Moment(6), nullable=False),
    Column("token", Exact, nullable=False),
    Column("reason", Exact, nullable=False),
    Column("origin", Exact, nullable=False),
    Column("path", Exact, nullable=False),
    Index("tk_analytics_refusal_samples_org", "org_id", "id"),
    **_MYSQL,
)

# Days that are summed up: totals.py says how. While one is being summed up, the token says by whom.
summed_days: Final = Table(
    "tk_analytics_summed_days",
    metadata,
    Column("org_id", Exact(ID), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("token", Exact(32)),
    Index("tk_analytics_summed_days_token", "token", postgresql_where=text("token IS NOT NULL")),
    **_MYSQL,
)

hour_totals: Final = Table(
    "tk_analytics_hour_totals",
    metadata,
    # Asked for by type: what is asked for stands together, and is a hundredth of all.
    Column("org_id", Exact(ID), primary_key=True),
    Column("event_type", Exact(ID), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("hour", Integer, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Index("tk_analytics_hour_totals_day", "org_id", "day"),
    ForeignKeyConstraint(
        ["org_id", "day"],
        ["tk_analytics_summed_days.org_id", "tk_analytics_summed_days.day"],
        ondelete="CASCADE",
    ),
    **_MYSQL,
)

for _statement in statements():
    _made: Any = DDL(_statement)  # type: ignore[no-untyped-call]
    event.listen(metadata, "after_create", _made.execute_if(dialect="postgresql"))
