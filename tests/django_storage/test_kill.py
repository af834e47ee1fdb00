"""Servers that are killed and databases that crash under load: what was acknowledged is in Django's database."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from tests.databases.postgresql import PostgreSQL
from tests.disk import folder_on_disk  # noqa: F401 - tmp_path
from tests.django_storage.databases import ALIAS, by_url, database, file, migrated, template
from tests.faults.crashes import load_through
from tests.servers.running import GUNICORN_THREADS, UVICORN_H11, Kind, Load, Server, integrity

ROUNDS = 3
IDS = "SELECT id FROM tk_analytics_event"


def of_a_project(kind: Kind, settings: dict[str, Any]) -> Kind:
    """A server whose application is a Django project with this database."""
    return replace(kind, environment={"SHOP_DJANGO": json.dumps({"default": settings}, default=str)})


@pytest.mark.parametrize("kind", [GUNICORN_THREADS, UVICORN_H11], ids=lambda kind: kind.name)
def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "events.db"
    shutil.copyfile(template(), path)
    acknowledged: set[UUID] = set()
    for number in range(ROUNDS):
        server = Server(of_a_project(kind, file(path)), tmp_path, storage="django")
        with Load(server) as load:
            load.wait_for(50 + 20 * number)
            time.sleep(random.random() * 0.02)  # anywhere within a commit
            server.kill()
        assert load.broken, "the clients were still sending"
        acknowledged.update(map(UUID, load.acknowledged))
        assert integrity(path) == "ok"
        with closing(sqlite3.connect(path)) as connection:
            assert acknowledged - {UUID(id_) for (id_,) in connection.execute(IDS)} == set()


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_a_postgresql_that_crashes_loses_what_was_acknowledged_only_if_that_was_relaxed(
    postgresql: PostgreSQL, tmp_path: Path, durability: str
) -> None:
    """``full`` even where its own setting says that commits need not wait. ``relaxed`` is the negative control."""
    url = postgresql.fresh(migrated=False)
    migrated(by_url(url))
    postgresql.run(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    load = load_through(
        "django",
        lambda: postgresql.stop("immediate"),
        postgresql.start,
        tmp_path,
        rounds=ROUNDS,
        kind=of_a_project(GUNICORN_THREADS, by_url(url)),
        durability=durability,
    )
    assert set(load.statuses) == {200, 503}
    with database(by_url(url)), connections[ALIAS].cursor() as cursor:
        cursor.execute(IDS)
        stored = {UUID(str(id_)) for (id_,) in cursor.fetchall()}
    lost = {*map(UUID, load.acknowledged)} - stored
    assert len(lost) < len(load.acknowledged)
    assert bool(lost) == (durability == "relaxed")
