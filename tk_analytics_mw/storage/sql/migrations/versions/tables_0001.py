"""Create the tables.

Revision ID: 0001
"""

from __future__ import annotations

import uuid

from alembic import op

from tk_analytics_mw.storage.sql.schema import metadata, positions

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what there is in this version."""
    metadata.create_all(op.get_bind())
    op.bulk_insert(positions, [{"id": 1, "last": 0, "instance": str(uuid.uuid4())}])
