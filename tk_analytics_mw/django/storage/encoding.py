"""JSON on its way into a database."""

from __future__ import annotations

import json
from typing import Any

from tk_analytics_mw.json_values import dump
from tk_analytics_mw.storage.exponents import written_out


class Encoder(json.JSONEncoder):
    """Writes objects and lists as other storages do."""

    def encode(self, o: Any) -> str:
        """The JSON text."""
        return written_out(dump(o).decode())
