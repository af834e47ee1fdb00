"""The storage does what every storage must do: pip install "tk_analytics_mw[testing]"; pytest test_app.py"""

import pytest
from app import JsonLinesStorage

from tk_analytics_mw import Event
from tk_analytics_mw.testing import StorageSuite


class TestJsonLines(StorageSuite):
    @pytest.fixture
    def open_storage(self, tmp_path):
        return lambda: JsonLinesStorage(tmp_path / "events.jsonl")

    def stored(self, storage, org_id="acme"):  # it has no reader
        lines = storage.path.read_bytes().splitlines() if storage.path.exists() else []
        return [event for event in map(Event.model_validate_json, lines) if event.org_id == org_id]
