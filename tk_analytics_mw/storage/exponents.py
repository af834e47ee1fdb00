"""JSON for a database that keeps numbers as decimals."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

# A float that is written with an exponent, and how to know at a glance that there is none: outside of texts such a
# number stands behind one of three characters.
_MAY_HAVE_EXPONENT: Final = re.compile(r"[:,\[]-?\d[\d.]*e\+?\d")
_TEXT_OR_EXPONENT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?e\+?\d+')


def written_out(text: str) -> str:
    """The JSON text of an object or a list, in which no float has a positive exponent.

    ``jsonb`` gives ``1e16`` back as ``10000000000000000``, an integer, which is another number to a reader if it has
    more digits than a float holds. With ``.0`` at its end it stays a float.
    """
    if _MAY_HAVE_EXPONENT.search(text) is None:
        return text
    return _TEXT_OR_EXPONENT.sub(
        lambda found: found[0] if found[0].startswith('"') else f"{Decimal(found[0]):f}.0", text
    )
