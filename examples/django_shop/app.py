"""A Django project in one file, with the events API as middleware.

Run it with ``python examples/django_shop/app.py runserver``, or ``application`` on any WSGI or ASGI server.
"""

import os
import sys
from pathlib import Path

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_POST

from tk_analytics_mw import Event, EventType, PrivateToken, PublicToken

PUBLIC_TOKEN = "pub-demo-0b6e5d1f73c8"
PRIVATE_TOKEN = "prv-demo-9f21c7a4e05d"

settings.configure(
    SECRET_KEY=os.environ.get("SECRET_KEY", "only-for-this-example"),
    DEBUG="runserver" in sys.argv,
    ALLOWED_HOSTS=["localhost", "127.0.0.1", "shop.example.com"],
    ROOT_URLCONF=__name__,
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [Path(__file__).with_name("templates")],
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "tk_analytics_mw.django.AnalyticsMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    TK_ANALYTICS={
        "TOKENS": [
            PublicToken(PUBLIC_TOKEN, org_id="acme", domains=["shop.example.com", "localhost:8000", "127.0.0.1:8000"]),
            PrivateToken(PRIVATE_TOKEN, org_id="acme"),
        ],
        "PRIVATE_ONLY": [EventType.ORDERED],
    },
)
asgi_application = get_asgi_application()
application = get_wsgi_application()

# Below the settings because this is one file. In a project it stands in hooks.py of an app, which its AppConfig.ready()
# imports, as for signal receivers.
from tk_analytics_mw.django import analytics  # noqa: E402


@analytics.on(EventType.CART_ADD)
def reserve_stock(event: Event) -> None:
    print(f"reserve_stock: {event.metric:g} of {event.asset_id} for session {event.session_id}")


@analytics.before_store
def add_campaign(event: Event) -> Event:
    return event.with_metadata(campaign="spring")


def product(request: HttpRequest) -> HttpResponse:
    return render(request, "product.html", {"token": PUBLIC_TOKEN})


@require_POST
def order(request: HttpRequest) -> HttpResponse:
    """Django's own CSRF protection guards this one, as ever."""
    event = analytics.record(EventType.ORDERED, org_id="acme", session_id=request.POST["session_id"], metric=349.5)
    return JsonResponse(event.as_answer())


urlpatterns = [path("", product), path("order", order)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
