"""From a filter to ClickHouse's SQL: a condition of fixed words, and the values for its names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from tk_analytics_mw.queries import EQUAL_COLUMNS, Filter
from tk_analytics_mw.storage.choices import canonical
from tk_analytics_mw.storage.clickhouse.columns import id_digits
from tk_analytics_mw.storage.clickhouse.schema import VALUES

_TYPES: Final = {name: "Float64" if name == "metric" else "String" for name in EQUAL_COLUMNS}

RARE: Final = frozenset({"session_id", "user_id", "asset_id"})
"""Columns whose values the index of rare values has."""

# Looked up in the index, and nowhere else: whether the event really has it, the condition beside it says.
_AMONG: Final = "indexHint(has(" + VALUES + ", {{{name}:String}}))"

ID: Final = "toFixedString(unhex({{{name}:String}}), 16)"
"""SQL of an id whose digits have this name."""

MOMENT: Final = "fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')"
"""SQL of a moment whose milliseconds have this name."""


class Condition(NamedTuple):
    """What stands behind ``WHERE``."""

    sql: str
    values: Mapping[str, Any]

    def also(self, sql: str, **values: Any) -> Condition:
        """This and more."""
        return Condition(f"{self.sql} AND {sql}", {**self.values, **values})


def condition(wanted: Filter, *, hints: bool = True) -> Condition:
    """The condition that the events of ``wanted`` meet, and no others. It never holds what a client sent.

    Args:
        wanted: which events.
        hints: whether the index of rare values is looked up. That is of no use where the moments are known.
    """
    words = ["org_id = {org_id:String}"]
    values: dict[str, Any] = {"org_id": wanted.org_id}
    for name, value in wanted.equals.items():
        if name == "id":
            digits = id_digits(str(value))
            words.append("id = " + ID.format(name="id_digits") if digits is not None else "0")
            values["id_digits"] = digits or ""
        else:
            words.append(f"{name} = {{equal_{name}:{_TYPES[name]}}}")
            if hints and name in RARE:
                words.append(_AMONG.format(name=f"equal_{name}"))
            values[f"equal_{name}"] = value
    if wanted.since is not None:
        words.append("created_at >= " + MOMENT.format(name="since"))
        values["since"] = milliseconds(wanted.since)
    if wanted.until is not None:
        words.append("created_at < " + MOMENT.format(name="until"))
        values["until"] = milliseconds(wanted.until)
    for number, (key, scalar) in enumerate(wanted.metadata.items()):
        words.append(f"metadata_values[{{key_{number}:String}}] = {{scalar_{number}:String}}")
        if hints:
            words.append(_AMONG.format(name=f"scalar_{number}"))
        values |= {f"key_{number}": key, f"scalar_{number}": canonical(scalar)}
    return Condition(" AND ".join(words), values)


def milliseconds(moment: datetime) -> int:
    """A moment as ``created_at`` is compared with it: up to the next millisecond, what is stored has no finer ones."""
    since_1970 = moment - _EPOCH
    microseconds = (since_1970.days * 86_400 + since_1970.seconds) * 1_000_000 + since_1970.microseconds
    return -(-microseconds // 1000)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
