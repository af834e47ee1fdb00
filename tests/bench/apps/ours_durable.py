"""Our own API with a durable hook for every event, which another process would call."""

from __future__ import annotations

from tests.bench.apps.empty import empty_asgi
from tests.bench.apps.ours import our_analytics

analytics = our_analytics()
analytics.on(durable=True, name="bench")(lambda event, delivery: None)
ours_durable = analytics.asgi(empty_asgi)
