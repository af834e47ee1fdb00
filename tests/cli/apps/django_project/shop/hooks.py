"""Durable functions that write with Django's ORM."""

from orders import register
from shop.models import Confirmation

from tk_analytics_mw.django import analytics


def note(text: str) -> None:
    Confirmation.objects.create(text=text)


async def note_async(text: str) -> None:
    await Confirmation.objects.acreate(text=text)


register(analytics, note, note_async)
