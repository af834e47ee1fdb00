"""Exports from Django where the view is of one kind and the server of the other: nothing is collected first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.test_export import lines
from tests.contract.test_reads import ask, created
from tests.hosts.base import default_options
from tests.hosts.django_faces import DjangoAsgi, DjangoUrls


class UrlsOverAsgi(DjangoAsgi):
    """Our URLs are a synchronous view."""

    face = "django_urls_asgi"
    overrides = DjangoUrls.overrides


@pytest.mark.parametrize("face", [UrlsOverAsgi, DjangoAsgi, DjangoUrls])
def test_an_export_is_streamed_without_a_warning(face: type[DjangoAsgi], tmp_path: Path) -> None:
    """Django warns when it has to collect a stream of the other kind, and here a warning is an error."""
    host = face(tmp_path / "analytics.db", default_options(), lambda analytics: None)
    try:
        event = created(host)
        assert lines(ask(host, "export").body) == [event]
    finally:
        host.close()
