"""The README's table of settings, made from the settings. ``python -m tests.docs.settings_table`` writes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tk_analytics_mw.settings import ENVIRONMENT_PREFIX, Settings

README = Path(__file__).parents[2] / "README.md"
_MARKED = re.compile(r"(<!-- settings[^\n]*-->\n)(.*?)(<!-- /settings -->)", re.DOTALL)


def table() -> str:
    rows = ["| code and Flask | Django | environment | default | |", "|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _default(field.default)
        rows.append(
            f"| `{name}` | `{name.upper()}` | `{ENVIRONMENT_PREFIX}{name.upper()}` | {default} | {field.description} |"
        )
    return "\n".join(rows) + "\n"


def _default(value: Any) -> str:
    if value is None or value in ((), frozenset()):
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"`{value}`"


def written() -> str:
    found = _MARKED.search(README.read_text())
    assert found is not None, "the README has lost the marks around its table of settings"
    return found[2]


if __name__ == "__main__":
    README.write_text(_MARKED.sub(lambda found: found[1] + table() + found[3], README.read_text()))
