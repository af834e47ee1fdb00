"""What is sent: one event as a page sends it, and a batch of them."""

from __future__ import annotations

import json
from typing import Any, Final

TOKEN: Final = "pub-0123456789abcdef"
ORIGIN: Final = "https://shop.example.com"
BATCH: Final = 100
HEADERS: Final = {
    "Content-Type": "application/json",
    "Origin": ORIGIN,
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
}
EVENT: Final[dict[str, Any]] = {
    "eventType": "product cart-add",
    "orgId": "acme",
    "sessionId": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "assetId": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "configuration": {"Fabric": "Blue", "Size": "L"},
    "metric": 99.5,
    "eventMetadata": {"campaign": "spring"},
}
ONE: Final = (f"/api/analytics/events?bearer_token={TOKEN}", json.dumps(EVENT))
MANY: Final = (f"/api/analytics/events/batch?bearer_token={TOKEN}", json.dumps({"events": [EVENT] * BATCH}))
