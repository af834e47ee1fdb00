"""ClickHouse that is not there, or not made ready: nothing is acknowledged, and its password is nowhere."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.engines.chdb import empty
from tests.hosts.base import EVENTS, PRIVATE, an_event, default_options
from tests.hosts.flask_faces import FlaskClient
from tk_analytics_mw import Analytics
from tk_analytics_mw.errors import ConfigurationError, ReadTooLong, StorageUnavailable
from tk_analytics_mw.storage.clickhouse import ClickHouseStorage, engine_target, schema, server_target
from tk_analytics_mw.storage.urls import storage_from

pytest.importorskip("clickhouse_connect")

PASSWORD = "hunter2-of-the-shop"


@pytest.fixture
def port() -> Iterator[int]:
    """Nobody listens there, and nobody else will."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_server_that_is_away_is_503_and_its_password_nowhere(
    port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"clickhouse://shop:{PASSWORD}@127.0.0.1:{port}/analytics"
    host = FlaskClient(tmp_path / "nothing.db", {**default_options(), "storage": url}, lambda analytics: None)
    created = host.from_page(an_event())
    read = host.request("GET", EVENTS, headers={"Authorization": f"Bearer {PRIVATE}"})
    for reply in (created, read):
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) > 0
    storage = host.analytics.find_parts().storage
    told = [reply.body.decode() for reply in (created, read)]
    findings = [str(finding) for finding in storage.examine()]  # type: ignore[attr-defined]
    assert any("error" in finding for finding in findings)
    for text in (*told, *findings, caplog.text, repr(storage), repr(storage.target), str(storage.target)):  # type: ignore[attr-defined]
        assert PASSWORD not in text
    host.close()


@pytest.mark.parametrize(
    "url",
    [
        f"clickhouse://shop:{PASSWORD}@/analytics",
        f"clickhouse://shop:{PASSWORD}@host:port/analytics",
        f"clickhouse://shop:{PASSWORD}@host/ana lytics;",
        f"clickhouse://shop:{PASSWORD}@host/analytics?cluster='",
        f"clickhouse://shop:{PASSWORD}@host/analytics?secure=perhaps",
        f"clickhouse://shop:{PASSWORD}@host/analytics?nothing=1",
        "clickhouse+chdb://directory",
        "clickhouse+chdb:///",
        "clickhouse+chdb:////no/such/directory",
    ],
)
def test_a_url_that_is_none_says_what_to_write_and_no_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        storage_from(url, durability="full", commit_timeout=5.0)
    assert "clickhouse://user:password@host" in str(caught.value) or "no directory" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_url_says_where_and_how() -> None:
    target = server_target("shop:a%40b@ch.example:9999/analytics?cluster=main&secure=true")
    assert target.options() == {
        "host": "ch.example",
        "port": 9999,
        "username": "shop",
        "password": "a@b",
        "database": "analytics",
        "interface": "https",
    }
    assert target.cluster == "main"
    assert server_target("ch").port == 8123
    assert server_target("ch?secure=true").port == 8443


def test_durable_hooks_are_refused_at_the_start() -> None:
    analytics = Analytics(storage="clickhouse://localhost/analytics")
    with pytest.raises(ConfigurationError, match="ClickHouseStorage"):
        analytics.on(durable=True, name="mail")(lambda event, delivery: None)


def test_stored_tokens_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="ClickHouseStorage"):
        Analytics(storage="clickhouse://localhost/analytics", tokens="stored")


def test_tables_that_are_not_there_are_503_and_name_the_command() -> None:
    pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
    target = empty()
    storage = ClickHouseStorage(target, durability="relaxed")
    with storage._connections.working() as client:
        client.command(f"RENAME TABLE {schema.MIGRATIONS} TO away")
    try:
        assert list(storage.pending()) == ["0001_events"]
        with pytest.raises(StorageUnavailable, match="tk-analytics migrate"):
            storage.reader.last_position()
        assert list(storage.migrate()) == ["0001_events"], "what is there already does not matter"
        assert list(storage.pending()) == []
        assert storage.reader.last_position() == 0
    finally:
        with storage._connections.working() as client:
            client.command("DROP TABLE away")
        storage.close()


def test_the_tables_of_a_cluster_are_statements_that_the_engine_can_read() -> None:
    """The engine in process replicates nothing: it is as far as these can be checked."""
    pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
    cluster = server_target("host/analytics?cluster=main")
    storage = ClickHouseStorage(empty(), durability="relaxed")
    statements = [text for texts in schema.statements(cluster, durable=True).values() for text in texts]
    assert len(statements) == 2
    with storage._connections.working() as client:
        for statement in [*statements, *schema._bookkeeping(cluster)]:
            assert "ON CLUSTER 'main'" in statement
            assert "CreateQuery" in client.query(f"EXPLAIN AST {statement}").result_rows[0][0]
    storage.close()


def test_the_engine_takes_one_directory_a_process() -> None:
    pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
    target = empty()
    storage = ClickHouseStorage(target, durability="relaxed")
    storage.organisations()
    with pytest.raises(StorageUnavailable, match="chdb"):
        ClickHouseStorage(engine_target(f"/{target.path}-other")).organisations()
    storage.close()


def test_what_takes_too_long_is_given_up_and_a_write_that_does_is_no_fault_of_its_event() -> None:
    pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
    storage = ClickHouseStorage(empty(), durability="relaxed", timeout=0.2)
    forever = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
    with pytest.raises(ReadTooLong):
        storage._connections.rows(forever, {}, 0.2)
    with pytest.raises(StorageUnavailable), storage._connections.writing() as client:
        client.query(forever)
    storage.close()
