"""Which ClickHouse: what a URL says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tk_analytics_mw.errors import ConfigurationError

HELP: Final = (
    "storage: write clickhouse://user:password@host:8123/database, with ?secure=true for HTTPS and cluster=name for "
    "replicated and distributed tables; or clickhouse+chdb:///directory for the engine in this process"
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Target:
    """A server, or a directory of the engine in process."""

    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str = "default"
    secure: bool = False
    cluster: str | None = None
    path: str | None = None
    """Of the directory; ``None`` for a server."""

    def __str__(self) -> str:
        """What may be shown of it: no user, no password."""
        return self.path if self.path is not None else f"{self.host}:{self.port}/{self.database}"

    def options(self) -> dict[str, Any]:
        """What ``clickhouse_connect.get_client`` is to be told."""
        if self.path is not None:
            return {"interface": "chdb", "path": self.path, "database": self.database}
        return {
            "host": self.host,
            "port": self.port,
            "username": self.user,
            "password": self.password or "",
            "database": self.database,
            "interface": "https" if self.secure else "http",
        }


def server_target(rest: str) -> Target:
    """The server of ``clickhouse://`` and ``rest``.

    Raises:
        ConfigurationError: it is none. The text holds nothing of the URL: there may be a password in it.
    """
    try:
        parts = urlsplit(f"clickhouse://{rest}")
        port = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        secure = _TRUTHS[options.pop("secure", "false").lower()]
    except (ValueError, KeyError):
        raise ConfigurationError(HELP) from None
    cluster = options.pop("cluster", None)
    database = unquote(parts.path.removeprefix("/")) or "default"
    names = [database] if cluster is None else [database, cluster]
    if not parts.hostname or options or parts.fragment or not all(map(_NAME.fullmatch, names)):
        raise ConfigurationError(HELP)
    return Target(
        host=parts.hostname,
        port=port or (8443 if secure else 8123),
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        database=database,
        secure=secure,
        cluster=cluster,
    )


def engine_target(rest: str) -> Target:
    """The directory of ``clickhouse+chdb://`` and ``rest``. A relative one counts from the working directory of now.

    Raises:
        ConfigurationError: it is none, or there is no directory to make it in.
    """
    path = rest.removeprefix("/")
    if not rest.startswith("/") or not path or "?" in path:
        raise ConfigurationError(HELP)
    directory = Path(path).expanduser().absolute()
    if not directory.parent.is_dir():
        raise ConfigurationError(f"storage: there is no directory {directory.parent} to put {directory.name} into")
    return Target(path=str(directory))
