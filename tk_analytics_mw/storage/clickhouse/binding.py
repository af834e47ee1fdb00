"""Values of a question that are too long to be sent as one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

LONGEST: Final = 100_000
"""Bytes of a value. A server takes 128 KiB of a field (``http_max_field_value_size``) and refuses longer ones."""


def divided(sql: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The same question with each long list as several short ones, which the server puts together.

    Args:
        sql: with ``{name:Type}`` for each value.
        values: by name.
    """
    sent = dict(values)
    for name, value in values.items():
        parts = [*_parts(value)] if isinstance(value, list) else []
        if len(parts) > 1:
            del sent[name]
            sent |= {f"{name}_{number}": part for number, part in enumerate(parts)}
            together = ", ".join(f"{{{name}_{number}:\\1}}" for number in range(len(parts)))
            sql = re.sub(rf"\{{{name}:([^}}]+)\}}", f"arrayConcat({together})", sql)
    return sql, sent


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    start = length = 0
    for number, item in enumerate(items):
        # Of a text each byte may take four: it is escaped in a list, and that in a field. And quotes, comma and blank.
        longest = 4 * len(item.encode()) + 4 if isinstance(item, str) else len(str(item)) + 2
        if number > start and length + longest > LONGEST:
            yield items[start:number]
            start, length = number, 0
        length += longest
    yield items[start:]
