"""Column types that mean the same on PostgreSQL as on MariaDB and MySQL."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Text
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


def _collation(dialect: Dialect) -> str:
    """By code points, and ``'a '`` is not ``'a'``: the one such collation of each that pads nothing."""
    return "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"


class Exact(TypeDecorator[str]):
    """A text that is equal to itself alone.

    Args:
        length: characters at most, where the engine needs to know; ``None`` for a text that is in no index.
    """

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The engine's own type."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TEXT())
        if self.length is None:
            return dialect.type_descriptor(mysql.MEDIUMTEXT(charset="utf8mb4", collation=_collation(dialect)))
        return dialect.type_descriptor(mysql.VARCHAR(self.length, charset="utf8mb4", collation=_collation(dialect)))


class Id(TypeDecorator[str]):
    """A UUID, in its canonical spelling on this side."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The engine's own type."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=False))
        return dialect.type_descriptor(mysql.CHAR(36, charset="ascii", collation="ascii_bin"))


class Moment(TypeDecorator[datetime]):
    """A moment, in UTC on this side.

    Args:
        digits: of the second's fraction.
    """

    impl = Text
    cache_ok = True

    def __init__(self, digits: int = 3) -> None:
        super().__init__()
        self.digits = digits

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The engine's own type."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True, precision=self.digits))
        return dialect.type_descriptor(mysql.DATETIME(fsp=self.digits))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """MariaDB's ``DATETIME`` knows no time zone: it is UTC."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """In UTC, whatever time zone the connection has."""
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


class Json(TypeDecorator[Any]):
    """A JSON value: ``jsonb`` on PostgreSQL, its text on MariaDB and MySQL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The engine's own type."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.JSONB(none_as_null=True))
        return dialect.type_descriptor(mysql.LONGTEXT(charset="utf8mb4", collation=_collation(dialect)))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """As text where the engine has no such type."""
        if value is None or dialect.name == "postgresql":
            return value
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Read what stands there."""
        return value if value is None or dialect.name == "postgresql" else json.loads(value)
