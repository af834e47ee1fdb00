"""The API for the largest organisation of the made data, as WSGI and as ASGI."""

from __future__ import annotations

import os

from tests.bench.made import organisations
from tests.hosts.base import PRIVATE
from tk_analytics_mw import Analytics, PrivateToken

analytics = Analytics(
    storage=f"sqlite:///{os.environ['SHOP_DATABASE']}",
    tokens=[PrivateToken(PRIVATE, org_id=organisations()[0].org_id)],
)
wsgi = analytics.wsgi()
asgi = analytics.asgi()
