"""Events in a PostgreSQL, MariaDB or MySQL database, through SQLAlchemy."""

from __future__ import annotations

from tk_analytics_mw.storage.sql.storage import SqlStorage

__all__ = ["SqlStorage"]
