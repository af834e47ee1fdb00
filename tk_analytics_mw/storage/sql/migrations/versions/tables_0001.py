"""Create the tables.

Revision ID: 0001
"""

from __future__ import annotations

import uuid
from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

_MYSQL = {
    "ascii": "CHARACTER SET ascii COLLATE ascii_bin",
    "options": "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC",
}


def upgrade() -> None:
    """Create them as they were then: the statements stand beside this file, one behind each blank line."""
    connection = op.get_bind()
    is_postgresql = connection.dialect.name == "postgresql"
    script = Path(__file__).with_name(f"tables_0001_{'postgresql' if is_postgresql else 'mysql'}.sql").read_text()
    if not is_postgresql:
        collation = "utf8mb4_nopad_bin" if getattr(connection.dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        script = script.format(exact=f"CHARACTER SET utf8mb4 COLLATE {collation}", **_MYSQL)
    for statement in script.split("\n\n"):
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(
        "INSERT INTO tk_analytics_positions (id, last, instance) VALUES (1, 0, %s)", (str(uuid.uuid4()),)
    )
