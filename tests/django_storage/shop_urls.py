"""A shop that takes orders, with the events of its orders in the same database."""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.django_storage.databases import ALIAS
from tk_analytics_mw.django import analytics

ORDER: dict[str, Any] = {"org_id": "acme", "session_id": "s-1"}


class ShopError(Exception):
    """The order cannot be taken."""


def take_order(number: str) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("INSERT INTO shop_order VALUES (%s)", [number])


def orders() -> list[str]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT number FROM shop_order ORDER BY number")
        return [row[0] for row in cursor.fetchall()]


def order(request: HttpRequest, number: str) -> HttpResponse:
    """An order and its event, both or neither."""
    with transaction.atomic(using=ALIAS):
        take_order(number)
        event = analytics.record("product ordered", using=ALIAS, asset_id=number, **ORDER)
        if "fail" in request.GET:
            raise ShopError
    return HttpResponse(event.id)


def order_of_many(_request: HttpRequest) -> HttpResponse:
    """The second one is given up, the others are taken."""
    with transaction.atomic(using=ALIAS):
        for number in ("a", "b", "c"):
            try:
                with transaction.atomic(using=ALIAS):
                    take_order(number)
                    analytics.record("product ordered", using=ALIAS, asset_id=number, **ORDER)
                    if number == "b":
                        raise ShopError
            except ShopError:
                pass
    return HttpResponse("a, c")


def order_in_request(request: HttpRequest, number: str) -> HttpResponse:
    """With ``ATOMIC_REQUESTS``: the event is in the transaction of the request, or has one of its own."""
    take_order(number)
    using = ALIAS if "using" in request.GET else None
    event = analytics.record("product ordered", using=using, asset_id=number, **ORDER)
    if "fail" in request.GET:
        raise ShopError
    return HttpResponse(event.id)


urlpatterns = [
    path("order/<number>", order),
    path("orders", order_of_many),
    path("order-in-request/<number>", order_in_request),
]
