"""A cluster of ClickHouse's: what each shard has, and what the storage says of the whole."""

from __future__ import annotations

import pytest

from tests.databases.clickhouse import ClickHouse, storage_at
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.clickhouse.schema import EVENTS, LOCAL
from tk_analytics_mw.storage.erasure import Subject
from tk_analytics_mw.testing import an_event

pytest.importorskip("clickhouse_connect")

MADE = 200


def test_each_shard_has_a_part_and_an_answer_is_of_all(clickhouse_cluster: ClickHouse) -> None:
    url = clickhouse_cluster.emptied()
    storage = storage_at(url)
    events = [an_event(number, user_id=f"user-{number % 2}") for number in range(MADE)]
    assert storage.write(events) is None
    assert storage.write(events[:7]) is None, "again"
    shards = clickhouse_cluster.ask(f"SELECT shardNum(), uniqExact(id) FROM {EVENTS} GROUP BY 1 ORDER BY 1", url)
    assert [shard for shard, _ in shards] == ["1", "2"]
    assert all(int(number) > MADE / 4 for _, number in shards), "neither has all"
    assert sum(int(number) for _, number in shards) == MADE
    assert [*storage.reader.events(Filter("acme"), "oldest", limit=MADE).events] == events
    assert storage.reader.count(Filter("acme")).events == MADE
    # What the storage says to its servers itself is said to all of them.
    [*_] = storage.erasure.erase(Subject(user_id="user-1"))
    assert storage.reader.count(Filter("acme")).events == MADE // 2
    assert clickhouse_cluster.ask(f"SELECT uniqExact(id) FROM {LOCAL}", url) == [[str(MADE // 2)]]
    assert storage.survey().events == {"acme": {"product ordered": MADE // 2}}
    storage.close()
