"""The API as URLs: ``path("api/analytics/", include("tk_analytics_mw.django.urls"))``.

The path that you include them under takes the place of the settings ``prefix`` and ``aliases``.
"""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt

from tk_analytics_mw.django.configured import parts
from tk_analytics_mw.django.middleware import serve


@csrf_exempt  # a session counts on our own check of where a request comes from
def analytics_view(request: HttpRequest, below: str) -> HttpResponseBase:
    """Answer every path below the one that includes these URLs."""
    return serve(request, below, parts())


app_name = "tk_analytics"
urlpatterns = [re_path(r"^(?P<below>.*)$", analytics_view, name="api")]
