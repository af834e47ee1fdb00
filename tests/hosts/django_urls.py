"""URLs of a Django shop with ours among them."""

from __future__ import annotations

from django.urls import include, path

from tests.hosts import django_plain_urls

urlpatterns = [path("api/analytics/", include("tk_analytics_mw.django.urls")), *django_plain_urls.urlpatterns]
