"""Events in a database of the Django project, through Django's ORM: ``TK_ANALYTICS = {"STORAGE": "django"}``.

An app of its own, so that only who keeps events in this way gets its tables::

    INSTALLED_APPS = [..., "tk_analytics_mw.django.storage"]

The host's own queries begin with ``tk_analytics_mw.django.storage.models.Event.objects``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tk_analytics_mw.errors import ConfigurationError

if TYPE_CHECKING:
    from tk_analytics_mw.django.storage.storage import DjangoStorage

APP: Final = "tk_analytics_mw.django.storage"
LABEL: Final = "tk_analytics_storage"
"""Name of the app in ``INSTALLED_APPS``, and what ``manage.py migrate`` calls it."""


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
