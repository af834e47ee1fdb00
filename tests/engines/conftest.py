"""One face, with its events in ClickHouse's engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeHost
from tests.engines.chdb import empty
from tests.hosts.base import Host, Register, default_options
from tests.hosts.flask_faces import FlaskClient
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.rows import COLUMNS


class ClickHouseHost(FlaskClient):
    """Its rows are read through the storage: what another process would see there is none."""

    face = "clickhouse"

    def rows(self) -> list[dict[str, Any]]:
        storage: Any = self.analytics.find_parts().storage
        until = storage.reader.last_position()
        found = [
            row
            for org_id in storage.organisations()
            for row in storage.reader.rows(Filter(org_id), after=0, until=until)[0]
        ]
        return sorted((dict(zip(COLUMNS, row, strict=True)) for row in found), key=lambda row: str(row["id"]))


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[MakeHost]:
    """Make hosts. They are closed in the end."""
    target = empty()
    with ExitStack() as hosts:

        def make(*, register: Register = lambda analytics: None, **options: Any) -> Host:
            options = {"storage": f"clickhouse+chdb:///{target.path}", "durability": "relaxed", **options}
            host = ClickHouseHost(tmp_path / "nothing.db", {**default_options(), **options}, register)
            hosts.callback(host.close)
            return host

        yield make
