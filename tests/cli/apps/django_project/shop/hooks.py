"""Durable functions that write with Django's ORM."""

import time

from shop.models import Confirmation

from tk_analytics_mw import Event, Retry
from tk_analytics_mw.django import analytics


@analytics.on("product ordered", durable=True, name="plain")
def plain(event: Event, delivery: object) -> None:
    if event.session_id == "slow":
        Confirmation.objects.create(text="begun")
        time.sleep(1.0)
    if event.session_id == "fail":
        raise Retry("the mail server is away", after=3600)
    Confirmation.objects.create(text=f"plain {event.id}")


@analytics.on("product ordered", durable=True, name="async")
async def async_(event: Event, delivery: object) -> None:
    await Confirmation.objects.acreate(text=f"async {event.id}")
