"""A Django project with a login of its own: ``wsgi`` and ``asgi``. ``python django_site.py`` makes its database."""

from __future__ import annotations

import os
import sys

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tk_analytics_mw.django import DjangoSessionAuthenticator

OURS = "tk_analytics_mw.django.AnalyticsMiddleware"
USUAL = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


def organisation(request: HttpRequest) -> str | None:
    return "acme" if request.user.is_staff else None


settings.configure(
    SECRET_KEY="only-for-tests",
    ALLOWED_HOSTS=["*"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # fast
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[OURS, *USUAL] if os.environ["PLACE"] == "first" else [*USUAL, OURS],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_DATABASE"]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    TK_ANALYTICS={
        "AUTHENTICATOR": DjangoSessionAuthenticator(organisation),
        "IDENTIFY": "django",
        "TOKENS": [
            {"token": "pub-1", "org_id": "acme", "domains": ["shop.example.com"]},
            {"token": "prv-1", "org_id": "acme"},
        ],
    },
)


def log_in(request: HttpRequest, name: str) -> HttpResponse:
    from django.contrib.auth import authenticate, login

    login(request, authenticate(request, username=name, password="s3cret"))
    return HttpResponse(str(request.user.pk))


urlpatterns = [path("login/<name>", log_in)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()

if __name__ == "__main__":
    from django.contrib.auth.models import User
    from django.core.management import call_command

    sys.modules["django_site"] = sys.modules["__main__"]
    call_command("migrate", verbosity=0)
    User.objects.create_user("staff", password="s3cret", is_staff=True)
    User.objects.create_user("shopper", password="s3cret")
