"""The tables in ClickHouse, and how they come about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tk_analytics_mw.errors import StorageUnavailable
from tk_analytics_mw.storage.clickhouse.connections import Connections
from tk_analytics_mw.storage.clickhouse.target import Target

EVENTS: Final = "tk_analytics_events"
LOCAL: Final = "tk_analytics_events_local"
"""The part of the events that one server of a cluster has; without a cluster there is none beside :data:`EVENTS`."""
MIGRATIONS: Final = "tk_analytics_migrations"

VALUES: Final = (
    "arrayConcat([session_id, assumeNotNull(user_id), assumeNotNull(asset_id), assumeNotNull(idempotency_key)], "
    "mapValues(metadata_values))"
)
"""SQL of the values of an event that others seldom have, as the index of rare values has them."""

# The keys tell sessions and users apart where they are counted, in half of the time that their texts take: of a million
# two have the same one once in 37 million times.
_COLUMNS: Final = """
    org_id LowCardinality(String),
    created_at DateTime64(3, 'UTC') CODEC(Delta, LZ4),
    id FixedString(16),
    event_type LowCardinality(String),
    session_id String,
    metadata_values Map(LowCardinality(String), String),
    asset_id LowCardinality(Nullable(String)),
    user_id Nullable(String),
    config_id Nullable(String),
    configuration Nullable(String),
    configuration_values Map(LowCardinality(String), String),
    device LowCardinality(Nullable(String)),
    device_type LowCardinality(Nullable(String)),
    device_family LowCardinality(Nullable(String)),
    system LowCardinality(Nullable(String)),
    browser LowCardinality(Nullable(String)),
    user_agent LowCardinality(Nullable(String)),
    metric Float64,
    request_url LowCardinality(Nullable(String)),
    request_origin LowCardinality(Nullable(String)),
    referer LowCardinality(String),
    idempotency_key Nullable(String),
    record String,
    position UInt64 DEFAULT generateSnowflakeID(),
    session_key UInt64 MATERIALIZED cityHash64(session_id),
    user_key Nullable(UInt64) MATERIALIZED cityHash64(user_id),
    first_wins UInt64 MATERIALIZED 18446744073709551615 - position
"""

GRANULE: Final = 512
"""Events that are read for one of them. ClickHouse's own 8192 are for counting, which it does as well with these."""

# What a question may be for that the order of the table does not help with. The newest of what is rare is found
# through the first one, whatever it is a value of; an export through the last one: positions nearly always follow the
# time. One index for all values, for each is two more files that an insert writes and synchronises.
_INDEXES: Final = f""",
    INDEX by_value {VALUES} TYPE bloom_filter(0.001) GRANULARITY {8192 // GRANULE},
    INDEX by_position position TYPE minmax GRANULARITY {8192 // GRANULE}
"""

# Parts that nobody uses go soon. A month that nothing comes to for an hour becomes one part, for which FINAL has
# nothing to do: with the three or four that are left otherwise some questions took ten times as long. Not beyond the
# size that ClickHouse merges to by itself: that would take as much space again.
_SETTINGS: Final = (
    "old_parts_lifetime = 30, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1, "
    "enable_max_bytes_limit_for_min_age_to_force_merge = 1"
)

# Of the rows of one id the one with the greatest ``first_wins`` stays: the one that came first.
_EVENTS: Final = """
    CREATE TABLE IF NOT EXISTS {table}{on_cluster} ({columns}{indexes})
    ENGINE = {engine}
    PARTITION BY toYYYYMM(created_at)
    ORDER BY (org_id, created_at, id)
    SETTINGS {settings}
"""
_DISTRIBUTED: Final = """
    CREATE TABLE IF NOT EXISTS {table}{on_cluster} ({columns})
    ENGINE = Distributed('{cluster}', currentDatabase(), '{local}', sipHash64(id))
"""
_MIGRATIONS: Final = """
    CREATE TABLE IF NOT EXISTS {table}{on_cluster} (name String, applied_at DateTime DEFAULT now())
    ENGINE = {engine} ORDER BY name
"""


def statements(target: Target, *, durable: bool) -> dict[str, list[str]]:
    """What each migration says, in their order.

    Args:
        target: the server.
        durable: whether a part is synchronised with the disk before an insert is acknowledged.
    """
    on_cluster = "" if target.cluster is None else f" ON CLUSTER '{target.cluster}'"
    synced = "fsync_after_insert = 1, fsync_part_directory = 1, " if durable else ""
    # Engine and application share the processors: with ClickHouse's own base of 5 merging took twice what all else did,
    # and creates got through with a third of the speed; with 10 a tenth less than with 30, for which a busy month is 15
    # parts instead of 10. A server has its own processors, and its operator's settings.
    merged = "merge_selector_base = 30, " if target.path is not None else ""
    words = {
        "columns": _COLUMNS.rstrip(),
        "on_cluster": on_cluster,
        "cluster": target.cluster,
        "local": LOCAL,
        "settings": f"{synced}{merged}{_SETTINGS}, index_granularity = {GRANULE}",
    }
    if target.cluster is None:
        made = [
            _EVENTS.format(**words, table=EVENTS, indexes=_INDEXES.rstrip(), engine="ReplacingMergeTree(first_wins)")
        ]
    else:
        # By database too: two of one cluster are not to replicate one another.
        zookeeper = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
        made = [
            _EVENTS.format(
                **words,
                table=LOCAL,
                indexes=_INDEXES.rstrip(),
                engine=f"ReplicatedReplacingMergeTree({zookeeper}, first_wins)",
            ),
            _DISTRIBUTED.format(**words, table=EVENTS),
        ]
    return {"0001_events": made}


def pending(connections: Connections, *, durable: bool) -> Sequence[str]:
    """See :meth:`MigratedStorage.pending <tk_analytics_mw.storage.migrations.MigratedStorage.pending>`."""
    return _pending(connections, statements(connections.target, durable=durable))


def migrate(connections: Connections, *, durable: bool) -> Sequence[str]:
    """See :meth:`MigratedStorage.migrate <tk_analytics_mw.storage.migrations.MigratedStorage.migrate>`.

    Every statement may be repeated: should one of several fail, the migration is pending still.
    """
    target = connections.target
    migrations = statements(target, durable=durable)
    with connections.working() as client:
        if target.path is not None:
            client.command(f"CREATE DATABASE IF NOT EXISTS {target.database}")
        names = _pending(connections, migrations)
        for statement in _bookkeeping(target) if names else ():
            client.command(statement)
        for name in names:
            for statement in migrations[name]:
                client.command(statement)
            client.command(f"INSERT INTO {MIGRATIONS} (name) VALUES ('{name}')")  # noqa: S608 - names of ours
    return names


def check(connections: Connections, *, durable: bool) -> None:
    """See once in a process that the tables are there.

    Raises:
        StorageUnavailable: they are not, or not those of today.
    """
    process = connections.process
    if process.migrated:
        return
    names = pending(connections, durable=durable)
    if names:
        raise StorageUnavailable(
            f"ClickHouse: its tables are not there, or old ({', '.join(names)}): run tk-analytics migrate "
            f"({connections.target})"
        )
    process.migrated = True


def _pending(connections: Connections, migrations: dict[str, list[str]]) -> list[str]:
    [(there,)] = connections.rows(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        {"table": MIGRATIONS},
    )
    applied = {name for (name,) in connections.rows(f"SELECT name FROM {MIGRATIONS}", {})} if there else set()  # noqa: S608
    return [name for name in migrations if name not in applied]


def _bookkeeping(target: Target) -> Iterator[str]:
    on_cluster, engine = "", "MergeTree"
    if target.cluster is not None:
        on_cluster = f" ON CLUSTER '{target.cluster}'"
        # The same on every server, whatever its shard.
        engine = "ReplicatedMergeTree('/clickhouse/tables/{database}/{table}', '{shard}-{replica}')"
    yield _MIGRATIONS.format(table=MIGRATIONS, on_cluster=on_cluster, engine=engine)
