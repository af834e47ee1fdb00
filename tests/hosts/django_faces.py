"""Django: MIDDLEWARE under WSGI and ASGI, and as URLs."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.test import Client, override_settings
from starlette.datastructures import Headers

from tests.hosts.asgi_faces import call_asgi, scope_of
from tests.hosts.base import Host, Register, Reply
from tk_analytics_mw import Analytics, ConfigurationError
from tk_analytics_mw.storage.rows import COLUMNS

OURS = "tk_analytics_mw.django.AnalyticsMiddleware"
USUAL = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]


def configure_django() -> None:
    """Configure it once a process; each host overrides what is its own."""
    if not settings.configured:
        import django

        settings.configure(
            SECRET_KEY="only-for-tests",
            ALLOWED_HOSTS=["*"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            INSTALLED_APPS=["tk_analytics_mw.django.storage"],
            SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
            USE_TZ=True,
        )
        django.setup()


class DjangoSite:
    """The process-wide part of a Django project, put in place and taken back. One at a time.

    Args:
        options: become ``TK_ANALYTICS``, in capitals.
        register: registers hooks.
        overrides: further settings.
    """

    def __init__(self, options: dict[str, Any], register: Register, **overrides: Any) -> None:
        configure_django()
        from tk_analytics_mw.django import analytics
        from tk_analytics_mw.hooks import Hooks

        self._undo = ExitStack()
        self.analytics = analytics
        hooks, analytics.hooks = analytics.hooks, Hooks()
        self._undo.callback(setattr, analytics, "hooks", hooks)
        register(analytics)
        capitals = {name.upper(): value for name, value in options.items()}
        self._undo.enter_context(override_settings(TK_ANALYTICS=capitals, **overrides))

    def close(self) -> None:
        with self._undo, suppress(ConfigurationError):
            self.analytics.close()


class DjangoWsgi(Host):
    face = "django_wsgi"
    overrides: ClassVar[dict[str, Any]] = {
        "MIDDLEWARE": [*USUAL[:1], OURS, *USUAL[1:]],
        "ROOT_URLCONF": "tests.hosts.django_plain_urls",
    }

    def build(self, options: dict[str, Any], register: Register) -> Analytics:
        self.site = DjangoSite(options, register, **self.overrides)
        return self.site.analytics

    def close(self) -> None:
        self.site.close()

    def send(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        content_type = headers.get("Content-Type", "")
        rest = {name: value for name, value in headers.items() if name != "Content-Type"}
        client = Client(enforce_csrf_checks=True)
        response = client.generic(method, path, body, content_type, headers=rest, QUERY_STRING=query)
        return Reply(response.status_code, Headers(dict(response.headers)), response.getvalue())


class DjangoUrls(DjangoWsgi):
    face = "django_urls"
    overrides: ClassVar[dict[str, Any]] = {"MIDDLEWARE": USUAL, "ROOT_URLCONF": "tests.hosts.django_urls"}


class DjangoStored(DjangoWsgi):
    """With its events in a database of the project's own."""

    face = "django_stored"

    def build(self, options: dict[str, Any], register: Register) -> Analytics:
        configure_django()
        from tests.django_storage.databases import migrated_file

        self._alias = self._file.parent.name
        self._database = ExitStack()
        self._database.enter_context(migrated_file(self._file, self._alias))
        if str(options["storage"]).startswith("sqlite:"):
            options = {**options, "storage": f"django://{self._alias}"}
        return super().build(options, register)

    def close(self) -> None:
        with self._database:
            super().close()

    @property
    def database(self) -> Path:
        """A test that looks at the file of the SQLite storage is about that."""
        pytest.skip("the storage is another one")

    @database.setter
    def database(self, path: Path) -> None:
        self._file = path

    def rows(self) -> list[dict[str, Any]]:
        from tk_analytics_mw.django.storage.models import Event
        from tk_analytics_mw.django.storage.records import rows_of

        found = Event.objects.using(self._alias).order_by("position")
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows_of(found)]


class DjangoAsgi(DjangoWsgi):
    face = "django_asgi"

    def build(self, options: dict[str, Any], register: Register) -> Analytics:
        analytics = super().build(options, register)
        self.app = ASGIHandler()
        return analytics

    def send(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        head = {"Content-Length": str(len(body)), **headers}
        return call_asgi(self.app, scope_of(method, path, query, head.items()), body)
