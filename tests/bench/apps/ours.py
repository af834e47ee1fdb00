"""Our own API, as the README's first lines make it."""

from __future__ import annotations

import os
from typing import Any

from tests.bench.apps.empty import empty_asgi, empty_wsgi
from tests.bench.payload import TOKEN
from tk_analytics_mw import Analytics, PublicToken


def our_analytics(**options: Any) -> Analytics:
    """One with the storage that is measured."""
    return Analytics(
        storage=os.environ["BENCH_STORAGE"],
        tokens=[PublicToken(TOKEN, org_id="acme", domains=["shop.example.com"])],
        **options,
    )


ours_asgi = our_analytics().asgi(empty_asgi)
ours_retaining = our_analytics(retain_days=1).asgi(empty_asgi)
ours_wsgi = our_analytics().wsgi(empty_wsgi)
