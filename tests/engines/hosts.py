"""One face, with its events in ClickHouse's engine: in the process, over HTTP, and in a cluster of two shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.engines.chdb import empty
from tests.hosts.base import Host, Register
from tests.hosts.flask_faces import FlaskClient
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.rows import COLUMNS


class ReadThroughStorage(FlaskClient):
    """Its rows are read through the storage: what the process has open another one cannot open."""

    def rows(self) -> list[dict[str, Any]]:
        storage: Any = self.analytics.find_parts().storage
        until = storage.reader.last_position()
        found = [
            dict(zip(COLUMNS, row, strict=True))
            for org_id in storage.organisations()
            for row in storage.reader.rows(Filter(org_id), after=0, until=until)[0]
        ]
        return sorted(found, key=lambda row: str(row["id"]))


class ClickHouseHost(ReadThroughStorage):
    face = "clickhouse"

    def __init__(self, database: Path, options: Mapping[str, Any], register: Register) -> None:
        url = f"clickhouse+chdb:///{empty().path}"
        super().__init__(database, {"storage": url, "durability": "relaxed", **options}, register)


class ClickHouseServerHost(ReadThroughStorage):
    face = "clickhouse_server"
    server = "clickhouse"


class ClickHouseClusterHost(ReadThroughStorage):
    face = "clickhouse_cluster"
    server = "clickhouse_cluster"


HOSTS: tuple[type[Host], ...] = (ClickHouseHost, ClickHouseServerHost, ClickHouseClusterHost)
