"""Databases of a Django project, made and taken away while it runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.core.management import call_command
from django.db import connections

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


def sqlite(path: Path, **options: Any) -> dict[str, Any]:
    """An SQLite file."""
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": path, "CONN_MAX_AGE": None, "OPTIONS": options}


def postgresql(url: str) -> dict[str, Any]:
    """A database of a PostgreSQL server."""
    found = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": found.path[1:],
        "HOST": found.hostname,
        "PORT": found.port,
        "USER": found.username,
        "CONN_MAX_AGE": None,
    }


def migrated(settings: dict[str, Any]) -> None:
    """Make the tables."""
    with database(settings):
        call_command("migrate", "tk_analytics_storage", database=ALIAS, verbosity=0)


def emptied() -> None:
    """Have nothing in the tables."""
    tables = [model._meta.db_table for model in apps.get_app_config("tk_analytics_storage").get_models()]
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")


@contextmanager
def copy_of(template: Path, path: Path) -> Iterator[None]:
    """An SQLite file with the tables, in the journal mode of the template."""
    shutil.copyfile(template, path)
    with database(sqlite(path)):
        yield
