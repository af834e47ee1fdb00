"""The README's shop with its orders and its events in one database, in a process of its own."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection, models
from django.http import HttpRequest
from django.shortcuts import redirect
from django.test import Client
from django.urls import path

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
GIVEN: dict[str, Any] = {}
[text] = [block for block in BLOCKS if "besides what stands in settings.py above" in block]
exec(text, GIVEN)
settings.configure(
    SECRET_KEY="only-for-tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}},
    USE_TZ=True,
    INSTALLED_APPS=GIVEN["INSTALLED_APPS"],
    TK_ANALYTICS={} if "TK_ANALYTICS_STORAGE" in os.environ else GIVEN["TK_ANALYTICS"],
)
django.setup()


class Order(models.Model):
    id = models.AutoField(primary_key=True)
    total = models.FloatField()

    class Meta:
        app_label = "shop"


VIEWS: dict[str, Any] = {"__name__": __name__, "Order": Order, "redirect": redirect}
[text] = [block for block in BLOCKS if "# shop/views.py" in block]
exec(text, VIEWS)


def thanks(_request: HttpRequest) -> None:
    raise NotImplementedError


urlpatterns = [path("order", VIEWS["order"]), path("thanks", thanks, name="thanks")]


def main() -> None:
    from tk_analytics_mw.django.storage.models import Event

    sys.modules.setdefault("readme_shop", sys.modules["__main__"])
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    client = Client(raise_request_exception=False)
    assert client.post("/order", {"total": "12.5", "session_id": "s-1"}).status_code == 302
    assert client.post("/order", {"total": "99", "session_id": ""}).status_code == 500, "an event that is not valid"
    assert [order.total for order in Order.objects.all()] == [12.5]
    assert [event.metric for event in Event.objects.filter(session_id="s-1", event_metadata__isnull=True)] == [12.5]


if __name__ == "__main__":
    main()
