"""JSON on its way into a database."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final

from tk_analytics_mw.json_values import dump

_MAYBE_GREAT: Final = re.compile(r"[0-9]e\+?[0-9]")
_TEXT_OR_GREAT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.]*e\+?[0-9]+')


class Encoder(json.JSONEncoder):
    """Writes JSON as every storage does, but great floats in full, with a fraction.

    PostgreSQL keeps numbers as decimals and gives ``1e16`` back as an integer, which is another number than the
    float of that name where it has more than 53 bits.
    """

    def encode(self, o: Any) -> str:
        """The JSON text of a value."""
        text = dump(o).decode()
        return _TEXT_OR_GREAT.sub(_in_full, text) if _MAYBE_GREAT.search(text) else text


def _in_full(found: re.Match[str]) -> str:
    text = found[0]
    return text if text.startswith('"') else f"{Decimal(text):f}.0"
