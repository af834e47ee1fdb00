"""Events in a database of the Django project, through Django's ORM: ``TK_ANALYTICS = {"STORAGE": "django"}``.

An app of its own, so that only who keeps events in this way gets its tables::

    INSTALLED_APPS = [..., "tk_analytics_mw.django.storage"]

The host's own queries begin with ``tk_analytics_mw.django.storage.models.Event.objects``.
"""
