"""Flask's test client in front of a shop whose storage is PostgreSQL: what the contract says holds there too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import NullPool, create_engine, select

from tests.hosts.base import Register
from tests.hosts.flask_faces import FlaskClient
from tk_analytics_mw.storage.rows import COLUMNS, row_of
from tk_analytics_mw.storage.sql.encoding import event_from
from tk_analytics_mw.storage.sql.engines import url_of
from tk_analytics_mw.storage.sql.schema import EVENT, events


class FlaskOnPostgreSQL(FlaskClient):
    face = "flask_postgresql"
    server = "postgresql"

    def __init__(self, database: Path, options: Mapping[str, Any], register: Register) -> None:
        self._url: str = options["storage"]
        self.analytics = self.build({**options}, register)

    @property
    def database(self) -> NoReturn:  # type: ignore[override]
        """What asks for it is about SQLite's file."""
        pytest.skip("about the file of SQLite")

    def rows(self) -> list[dict[str, Any]]:
        engine = create_engine(url_of(self._url), poolclass=NullPool)
        with engine.connect() as connection:
            found = connection.execute(select(*EVENT).order_by(events.c.position)).all()
        return [dict(zip(COLUMNS, row_of(event_from(row)), strict=True)) for row in found]
