"""URLs of a Django shop that answers every path."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"host: {request.method} {request.path}", content_type="text/plain")


urlpatterns = [re_path(r"^.*$", page)]
