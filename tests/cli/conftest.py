"""A shop in a folder of its own, for commands in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

SHOP = """
from tk_analytics_mw import Analytics, PrivateToken, PublicToken

analytics = Analytics(
    storage="sqlite:///analytics.db",
    tokens=[
        PublicToken("pub-1", org_id="acme", domains=["shop.example.com"]),
        PrivateToken("prv-1", org_id="acme"),
        "stored",
    ],
)


@analytics.on("product ordered", durable=True, name="mail")
def mail(event, delivery): ...
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The folder of a shop whose module ``shop`` has ``analytics``."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.fixture
def events(shop: Path) -> Path:
    """A file of create bodies: three of them, and a line that is none."""
    file = shop / "events.ndjson"
    file.write_text(
        '{"eventType": "produce cart-add", "orgId": "acme", "sessionId": "s-1", "assetId": "chair", "userId": "jane"}\n'
        '{"eventType": "product ordered", "sessionId": "s-1", "createdAt": "2026-01-02T03:04:05.678Z", "metric": 2.5}\n'
        "\n"
        '{"eventType": "product ordered", "orgId": "rival", "sessionId": "s-9", "id": "e-1", '
        '"createdAt": "2026-01-02T03:04:05Z"}\n'
    )
    return file
