"""Strict JSON: what storages, other JSON readers and 64-bit machines can all hold, and nothing else.

A fast parser reads the common body, and one look at it proves that nothing odd is in it. A body that
may hold something odd is read by a strict parser and walked value by value.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from tk_analytics_mw.errors import InvalidEvent

MAX_DEPTH: Final = 32
"""Nesting of objects and arrays. Parsers give up between 200 (jiter) and 1,000 (CPython) levels,
PostgreSQL between 7,000 and 20,000; people need fewer than ten."""

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

_SURROGATE = re.compile("[\ud800-\udfff]")


class Parsed(NamedTuple):
    """A parsed body, and what its text proves."""

    value: Any
    plain: bool
    """:func:`problem` would find nothing in it."""


def load(body: bytes) -> Parsed:
    """Parse a request body.

    Raises:
        InvalidEvent: it is not JSON, or an object holds a key twice.
    """
    if body.find(b"\\u") < 0:  # NUL and lone surrogates get past the parsers only as escapes
        try:
            value = from_json(body, allow_inf_nan=False, cache_strings="keys")
            keys = _proven_keys(value)
            if keys == body.count(b":") or keys == sum(map(body.count, _BEHIND_A_KEY)):
                return Parsed(value, plain=True)
        except ValueError:
            pass  # the strict parser says what is wrong with it
    try:
        return Parsed(_decode(body.decode()), plain=False)
    except _DuplicateKey:
        raise InvalidEvent.at("body", msg="an object holds the same key twice", type="json_duplicate_key") from None
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise InvalidEvent.at("body", msg="the body is not valid JSON in UTF-8", type="json_invalid") from None


# How the colon behind a key may stand; others are in texts, such as URLs. A body has at least as many of these as
# its objects have keys: where they are as many as the keys that the parser kept, it has dropped none.
_BEHIND_A_KEY: Final = (b'":', b" :", b"\t:", b"\n:", b"\r:")


def _proven_keys(value: Any, level: int = 1) -> int:
    """Count the keys of all objects in a container.

    Raises:
        ValueError: :func:`problem` has to look at it.
    """
    if level > MAX_DEPTH:
        raise ValueError
    keys = 0
    if type(value) is dict:
        keys, value = len(value), value.values()
    elif type(value) is not list:
        raise ValueError
    for item in value:
        kind = type(item)
        if kind is str:
            continue
        if kind is dict or kind is list:
            keys += _proven_keys(item, level + 1)
        elif kind is float:
            if item - item != 0.0:  # 1e400 is read as infinity
                raise ValueError
        elif kind is int and not INT64_MIN <= item <= INT64_MAX:
            raise ValueError
    return keys


class _DuplicateKey(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers disagree on which of two equal keys counts: a body with two orgIds could pass a check
    # as one organisation and be read as another.
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _DuplicateKey
    return value


def _no_constant(_: str) -> Any:
    raise ValueError  # NaN, Infinity, -Infinity: Python reads them, JSON has no such thing


_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant).decode


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
