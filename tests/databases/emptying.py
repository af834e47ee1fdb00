"""A database as it was made: a hundred times faster than to make another one."""

from __future__ import annotations

from sqlalchemy import NullPool, create_engine, delete, update

from tk_analytics_mw.storage.sql.engines import url_of
from tk_analytics_mw.storage.sql.schema import metadata, positions


def empty(url: str) -> None:
    """Remove every row of ours."""
    engine = create_engine(url_of(url), poolclass=NullPool)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table is not positions:
                connection.execute(delete(table))
        connection.execute(update(positions).values(last=0))
