"""A Django project with its admin, in a process of its own, and somebody of the staff who looks around."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import django
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command
from django.test import Client
from django.test.utils import setup_test_environment
from django.urls import path

DATABASE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}
settings.configure(
    SECRET_KEY="only-for-tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "tk_analytics_mw.django",
        "tk_analytics_mw.django.storage",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={"default": DATABASE, "events": {**DATABASE, "NAME": "events.db"}},
    USE_TZ=True,
    STATIC_URL="/static/",
    TK_ANALYTICS={"STORAGE": "django://events"},
)
django.setup()
urlpatterns = [path("admin/", admin.site.urls)]
EVENTS = "/admin/tk_analytics_storage/event/"


def tk_analytics(*arguments: str) -> str:
    out = io.StringIO()
    call_command("tk_analytics", *arguments, stdout=out)
    return out.getvalue()


def refused(client: Client, method: str, url: str) -> bool:
    return getattr(client, method)(url).status_code == 403


def main() -> None:
    from django.contrib.auth.models import Permission, User
    from django.db import connections

    from tk_analytics_mw.django import analytics
    from tk_analytics_mw.django.storage.models import Event

    setup_test_environment()
    sys.modules.setdefault("back_office", sys.modules["__main__"])
    call_command("migrate", verbosity=0)
    assert connections["default"].introspection.table_names()
    storage: Any = analytics.find_parts().storage
    storage.migrate()
    for number in range(3):
        analytics.record(
            "product ordered" if number else "product cart-add",
            org_id="rival" if number == 2 else "acme",
            session_id=f"s-{number}",
            user_id="jane" if number == 1 else None,
            event_metadata={"<b>": number},
        )
    event = Event.objects.using("events").get(session_id="s-1")
    staff = User.objects.create_user("staff", password="s3cret", is_staff=True)
    chief = Client()
    chief.force_login(User.objects.create_superuser("chief", password="s3cret"))
    client = Client()
    client.force_login(staff)
    assert refused(client, "get", EVENTS), "not allowed to view"
    staff.user_permissions.add(Permission.objects.get(codename="view_event"))

    def shown(query: str = "") -> list[str]:
        answer = client.get(EVENTS + query)
        assert answer.status_code == 200, answer
        return [row.session_id for row in answer.context["cl"].result_list]

    page = client.get(EVENTS)
    assert b"2026" in page.content or b"created_at__" in page.content, "date hierarchy"
    assert b"?event_type=product+ordered" in page.content
    assert b"?org_id=rival" in page.content
    found = {
        "all": shown(),
        "type": shown("?event_type=product+ordered"),
        "organisation": shown("?org_id=rival"),
        "device": shown("?device_type=mobile"),
        "session": shown("?q=s-0"),
        "user": shown("?q=jane"),
        "part": shown("?q=s-"),
        "day": shown(f"?created_at__year={event.created_at.year}&created_at__month={event.created_at.month}"),
        "other_day": shown("?created_at__year=1999"),
    }
    one = client.get(f"{EVENTS}{event.pk}/change/")
    assert one.status_code == 200
    assert b"&lt;b&gt;" in one.content
    assert b'name="_save"' not in one.content
    for somebody in (client, chief):
        for url in (f"{EVENTS}add/", f"{EVENTS}{event.pk}/delete/"):
            for method in ("get", "post"):
                assert refused(somebody, method, url), (method, url)
        assert refused(somebody, "post", f"{EVENTS}{event.pk}/change/")
        assert b'name="action"' not in somebody.get(EVENTS).content, "nothing is done to many"
    assert Event.objects.using("events").count() == 3
    found["stats"] = json.loads(tk_analytics("stats", "--json"))["byOrganisation"]
    tk_analytics("erase", "--user", "jane")
    found["left"] = Event.objects.using("events").count()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
