"""What the applications and their clients both know."""

from __future__ import annotations

EVENTS = "/api/analytics/events"
TOKEN = "tka-private-of-acme-91bc"
ORGANISATION = "acme"

SLOW = 1.0
"""Seconds that a slow hook takes."""

CALL = 0.001
"""Seconds that a logged hook takes."""

PLAIN_TYPE = "product cart-add"
"""Has no hook."""
AFTER_TYPE = "product ordered"
"""Has a slow hook after the answer."""
INLINE_TYPE = "product download"
"""Has a slow hook before the answer."""
