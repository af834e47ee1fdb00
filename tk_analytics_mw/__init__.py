"""First-party analytics inside the Python web application that a shop already runs.

Importing this imports no framework, opens nothing and starts nothing: each name is loaded when it is
first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tk_analytics_mw.analytics import Analytics
    from tk_analytics_mw.auth.base import Authenticator, Principal
    from tk_analytics_mw.auth.combined import any_of
    from tk_analytics_mw.auth.jwts import JWTAuthenticator
    from tk_analytics_mw.auth.tokens import PrivateToken, PublicToken
    from tk_analytics_mw.errors import (
        AnalyticsError,
        ConfigurationError,
        Discard,
        Drop,
        InvalidEvent,
        Refused,
        Reject,
        Retry,
        StorageUnavailable,
        SwitchOff,
    )
    from tk_analytics_mw.event_types import EventType
    from tk_analytics_mw.events import Event
    from tk_analytics_mw.messages import Request
    from tk_analytics_mw.storage.base import Storage
    from tk_analytics_mw.storage.outbox import Delivery, DurableStorage, Outbox

_HOME = {
    "Analytics": "analytics",
    "AnalyticsError": "errors",
    "Authenticator": "auth.base",
    "ConfigurationError": "errors",
    "Delivery": "storage.outbox",
    "Discard": "errors",
    "Drop": "errors",
    "DurableStorage": "storage.outbox",
    "Event": "events",
    "EventType": "event_types",
    "InvalidEvent": "errors",
    "JWTAuthenticator": "auth.jwts",
    "Outbox": "storage.outbox",
    "Principal": "auth.base",
    "PrivateToken": "auth.tokens",
    "PublicToken": "auth.tokens",
    "Refused": "errors",
    "Reject": "errors",
    "Request": "messages",
    "Retry": "errors",
    "Storage": "storage.base",
    "StorageUnavailable": "errors",
    "SwitchOff": "errors",
    "any_of": "auth.combined",
}

__version__ = "0.1.0"

__all__ = [
    "Analytics",
    "AnalyticsError",
    "Authenticator",
    "ConfigurationError",
    "Delivery",
    "Discard",
    "Drop",
    "DurableStorage",
    "Event",
    "EventType",
    "InvalidEvent",
    "JWTAuthenticator",
    "Outbox",
    "Principal",
    "PrivateToken",
    "PublicToken",
    "Refused",
    "Reject",
    "Request",
    "Retry",
    "Storage",
    "StorageUnavailable",
    "SwitchOff",
    "__version__",
    "any_of",
]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
