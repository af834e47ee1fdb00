"""Whether the tables are those of today."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.migrations.executor import MigrationExecutor

from tk_analytics_mw.django.storage import LABEL


def pending(connection: Any) -> Sequence[str]:
    """Names of the migrations that are still to be applied."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan([node for node in executor.loader.graph.leaf_nodes() if node[0] == LABEL])
    return [migration.name for migration, _ in plan if migration.app_label == LABEL]


def advice(alias: str) -> str:
    """What to do."""
    database = "" if alias == "default" else f" --database {alias}"
    return (
        f"Django's database {alias!r} does not have the tables of today: manage.py migrate {LABEL}{database}, "
        "or manage.py tk_analytics migrate"
    )
