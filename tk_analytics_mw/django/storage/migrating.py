"""Whether the tables are those of today."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, ProgrammingError
from django.db.migrations.executor import MigrationExecutor

from tk_analytics_mw.django.storage import LABEL


def pending(connection: Any) -> Sequence[str]:
    """Names of the migrations that are still to be applied."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan([node for node in executor.loader.graph.leaf_nodes() if node[0] == LABEL])
    return [migration.name for migration, _ in plan if migration.app_label == LABEL]


def may_be_old(error: DatabaseError) -> bool:
    """Whether this may be said of a table or a column that is not there."""
    words = ("no such table", "no such column", "has no column", "Unknown column")  # of SQLite and MySQL
    return isinstance(error, ProgrammingError) or any(each in str(error) for each in words)


def advice(alias: str) -> str:
    """What to do."""
    database = "" if alias == "default" else f" --database {alias}"
    return (
        f"Django's database {alias!r} does not have the tables of today: manage.py migrate {LABEL}{database}, "
        "or manage.py tk_analytics migrate"
    )
