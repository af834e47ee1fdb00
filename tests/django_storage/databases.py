"""Databases of a Django project, made and taken away while it runs."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connections

from tk_analytics_mw.django.storage import positions

ALIAS = "events"


@contextmanager
def database(settings: dict[str, Any], alias: str = ALIAS) -> Iterator[None]:
    """Let ``DATABASES`` have another one for a while."""
    connections.settings[alias] = connections.configure_settings({"default": settings})["default"]
    try:
        yield
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


def file(path: Path, **options: Any) -> dict[str, Any]:
    """An SQLite file."""
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": path, "CONN_MAX_AGE": None, "OPTIONS": options}


def by_url(url: str) -> dict[str, Any]:
    """A database of a PostgreSQL or a MariaDB server."""
    found = urlsplit(url)
    backend = "postgresql" if found.scheme.startswith("postgresql") else "mysql"
    if backend == "mysql":  # Django asks for mysqlclient, which takes a compiler
        import pymysql

        pymysql.version_info = (2, 2, 7, "final", 0)
        pymysql.install_as_MySQLdb()
    return {
        "ENGINE": f"django.db.backends.{backend}",
        "NAME": found.path[1:],
        "HOST": found.hostname,
        "PORT": found.port,
        "USER": found.username,
        "PASSWORD": found.password or "",
        "CONN_MAX_AGE": None,
    }


def migrated(settings: dict[str, Any]) -> None:
    """Make the tables."""
    with database(settings):
        call_command("migrate", "tk_analytics_storage", database=ALIAS, verbosity=0)


def emptied() -> None:
    """Have in the tables what they have at first."""
    tables = [model._meta.db_table for model in apps.get_app_config("tk_analytics_storage").get_models()]
    connection = connections[ALIAS]
    with connection.cursor() as cursor:
        for statement in connection.ops.sql_flush(no_style(), tables, reset_sequences=True):
            cursor.execute(statement)
    positions.take(ALIAS, 0)


@cache
def template() -> Path:
    """An SQLite file with the tables, to be copied. It goes when the process ends."""
    folder = TemporaryDirectory(prefix="tk-django-")
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "template.db"
    migrated(file(path))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return path


@contextmanager
def migrated_file(path: Path, alias: str = ALIAS) -> Iterator[None]:
    """An SQLite file with the tables."""
    shutil.copyfile(template(), path)
    with database(file(path), alias):
        yield
