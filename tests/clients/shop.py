"""The API as the published client wants it: it sends no ``orgId`` in the body, and its private token in the query."""

from __future__ import annotations

import os

from tests.hosts.base import PRIVATE
from tk_analytics_mw import Analytics, PrivateToken

analytics = Analytics(
    storage=f"sqlite:///{os.environ['SHOP_DATABASE']}",
    tokens=[PrivateToken(PRIVATE, org_id="0d0f8f3c-0c54-4f5e-9c1a-3f1f1b2b9a10")],
    allow_private_token_in_query=True,
    org_from_token=True,
)
asgi = analytics.asgi()
wsgi = analytics.wsgi()
