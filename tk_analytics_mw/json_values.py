"""Strict JSON: what storages, other JSON readers and 64-bit machines can all hold, and nothing else.

The parser notes what it meets, so that the common body is proven harmless while it is read; only
one that holds something odd is walked value by value.
"""

from __future__ import annotations

import json
import math
import re
import threading
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from tk_analytics_mw.errors import InvalidEvent

MAX_DEPTH: Final = 32
"""Nesting of objects and arrays. Parsers give up between 200 (jiter) and 1,000 (CPython) levels,
PostgreSQL between 7,000 and 20,000; people need fewer than ten."""

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

_SURROGATE = re.compile("[\ud800-\udfff]")


class _DuplicateKey(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers disagree on which of two equal keys counts: a body with two orgIds could pass a check
    # as one organisation and be read as another.
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _DuplicateKey
    return value


class _Seen(threading.local):
    odd = False


_seen = _Seen()


def _int(text: str) -> int:
    value = int(text)
    if not INT64_MIN <= value <= INT64_MAX:
        _seen.odd = True
    return value


def _float(text: str) -> float:
    value = float(text)
    if value - value != 0.0:  # 1e400 is read as infinity
        _seen.odd = True
    return value


def _no_constant(_: str) -> Any:
    raise ValueError  # NaN, Infinity, -Infinity: Python reads them, JSON has no such thing


_decode = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_int, parse_float=_float, parse_constant=_no_constant
).decode


class Parsed(NamedTuple):
    """A parsed body, and what its text proves."""

    value: Any
    plain: bool
    """No value in it is of the kinds that :func:`problem` looks for, nesting apart."""
    shallow: bool
    """It cannot nest beyond :data:`MAX_DEPTH`."""


def load(body: bytes) -> Parsed:
    """Parse a request body.

    Raises:
        InvalidEvent: it is not JSON, or an object holds a key twice.
    """
    _seen.odd = False
    try:
        text = body.decode()
        value = _decode(text)
    except _DuplicateKey:
        raise InvalidEvent.at("body", msg="an object holds the same key twice", type="json_duplicate_key") from None
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise InvalidEvent.at("body", msg="the body is not valid JSON in UTF-8", type="json_invalid") from None
    return Parsed(
        value,
        plain=not (_seen.odd or "\\u" in text),  # NUL and lone surrogates get past the parser only as escapes
        shallow=text.count("{") + text.count("[") <= MAX_DEPTH,
    )


def too_deep(value: Any, level: int = 1) -> bool:
    """Whether ``value``, a container that stands at ``level``, nests beyond :data:`MAX_DEPTH`."""
    for item in value.values() if type(value) is dict else value:
        kind = type(item)
        if (kind is dict or kind is list) and (level >= MAX_DEPTH or too_deep(item, level + 1)):
            return True
    return False


def problem(value: Any, level: int = 1) -> str | None:
    """Say what in ``value`` JSON or a storage cannot hold, or return ``None``.

    Args:
        value: anything, from a client or from host code.
        level: nesting level at which it stands; 1 is the outermost.
    """
    if isinstance(value, str):
        if "\x00" in value:
            return "a string holds the NUL character"
        return "a string holds a lone surrogate, which is no character" if _SURROGATE.search(value) else None
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if INT64_MIN <= value <= INT64_MAX else "an integer is beyond 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "a number is not finite"
    if not isinstance(value, (dict, list, tuple)):
        return f"a {type(value).__name__} is not a JSON value"
    if level > MAX_DEPTH:
        return f"objects and arrays are nested more than {MAX_DEPTH} deep"
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return "an object has a key that is not a string"
        value = [*value.keys(), *value.values()]
    for item in value:
        what = problem(item, level + 1)
        if what is not None:
            return what
    return None


def dump(value: Any) -> bytes:
    """Serialise what :func:`problem` has no objection to."""
    return to_json(value)
