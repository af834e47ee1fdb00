"""The storage is as the conformance kit says, on each database."""

from __future__ import annotations

import pytest

from tk_analytics_mw.testing import (
    ErasureSuite,
    FiguresSuite,
    OutboxSuite,
    ReaderSuite,
    RefusalSuite,
    StorageSuite,
    TokenSuite,
)
from tk_analytics_mw.testing.opened import Opened, OpenStorage


class Django(Opened):
    @pytest.fixture
    def open_storage(self, open_storage_of_django: OpenStorage) -> OpenStorage:
        return open_storage_of_django


class TestStorage(Django, StorageSuite): ...


class TestOutbox(Django, OutboxSuite): ...


class TestReader(Django, ReaderSuite): ...


class TestFigures(Django, FiguresSuite):
    most_examples = 40


class TestErasure(Django, ErasureSuite): ...


class TestTokens(Django, TokenSuite): ...


class TestRefusals(Django, RefusalSuite): ...
