"""From the setting ``storage`` to a database of the project's. The entry point ``django`` leads here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tk_analytics_mw.django.storage.apps import APP
from tk_analytics_mw.errors import ConfigurationError

if TYPE_CHECKING:
    from tk_analytics_mw.django.storage.storage import DjangoStorage


def open_storage(url: str, *, durability: str, commit_timeout: float) -> DjangoStorage:
    """Make the storage that ``django://alias`` describes; opens nothing.

    Args:
        url: ``django://`` for the database ``default``, or with the alias of another one.
        durability: ``"full"`` or ``"relaxed"``, see :class:`DjangoStorage`.
        commit_timeout: seconds to wait for other writers.

    Raises:
        ConfigurationError: there is no such database, or the app is not installed.
    """
    from django.apps import apps
    from django.conf import settings
    from django.db import connections

    alias = url.partition("://")[2] or "default"
    if not apps.is_installed(APP):
        raise ConfigurationError(f'storage: "django" needs "{APP}" in INSTALLED_APPS, then: manage.py migrate')
    if alias not in connections.settings:
        raise ConfigurationError(f"storage: DATABASES has no {alias!r}; known: {', '.join(connections.settings)}")
    if not settings.USE_TZ:
        raise ConfigurationError("storage: moments need USE_TZ = True; without it Django cannot tell those of a night")
    from tk_analytics_mw.django.storage.storage import DjangoStorage

    return DjangoStorage(alias, durability=durability, commit_timeout=commit_timeout)
