"""For tests: of your own storage, of your own authenticator, and of an application that records events.

The suites are classes for pytest. A subclass with one fixture has all of a suite's tests::

    class TestMyStorage(StorageSuite):
        @pytest.fixture
        def open_storage(self, tmp_path):
            return lambda: MyStorage(tmp_path / "events")

They need ``pip install "tk_analytics_mw[testing]"``; :class:`AnalyticsRecorder` needs nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tk_analytics_mw.testing.authenticators import AuthenticatorSuite, Presented
    from tk_analytics_mw.testing.erasures import ErasureSuite
    from tk_analytics_mw.testing.figures import FiguresSuite
    from tk_analytics_mw.testing.making import an_event
    from tk_analytics_mw.testing.outboxes import OutboxSuite
    from tk_analytics_mw.testing.readers import ReaderSuite
    from tk_analytics_mw.testing.recorder import AnalyticsRecorder
    from tk_analytics_mw.testing.refusals import RefusalSuite
    from tk_analytics_mw.testing.storages import StorageSuite
    from tk_analytics_mw.testing.tokens import TokenSuite

_HOME = {
    "AnalyticsRecorder": "recorder",
    "AuthenticatorSuite": "authenticators",
    "ErasureSuite": "erasures",
    "FiguresSuite": "figures",
    "OutboxSuite": "outboxes",
    "Presented": "authenticators",
    "ReaderSuite": "readers",
    "RefusalSuite": "refusals",
    "StorageSuite": "storages",
    "TokenSuite": "tokens",
    "an_event": "making",
}

_pytest = sys.modules.get("pytest")
if _pytest is not None:  # before they are imported: a failing assert of theirs is to say why
    _pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in ("opened", *_HOME.values())))

__all__ = [
    "AnalyticsRecorder",
    "AuthenticatorSuite",
    "ErasureSuite",
    "FiguresSuite",
    "OutboxSuite",
    "Presented",
    "ReaderSuite",
    "RefusalSuite",
    "StorageSuite",
    "TokenSuite",
    "an_event",
]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("pytest", "hypothesis"):
            raise
        raise ImportError(f'{name} needs {error.name}: pip install "tk_analytics_mw[testing]"') from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
