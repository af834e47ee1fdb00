"""The triggers of PostgreSQL that forget what is summed up, see :mod:`.totals`."""

from __future__ import annotations

from typing import Final

_FORGET: Final = """
        DELETE FROM tk_analytics_summed_days AS summed USING (
            SELECT DISTINCT org_id, CAST(created_at AT TIME ZONE 'UTC' AS date) AS day FROM {rows}
            WHERE position IS NOT NULL
        ) AS changed
        WHERE summed.org_id = changed.org_id AND summed.day = changed.day;
"""
_BODIES: Final = {
    # what is done, its rows, and what they are called in the function
    "insert": ("NEW TABLE AS came", ("came",)),
    "delete": ("OLD TABLE AS went", ("went",)),
    "update": ("OLD TABLE AS went NEW TABLE AS came", ("went", "came")),
}


def statements() -> list[str]:
    """What makes them. A percent sign in them stands for itself."""
    made = []
    for what, (referencing, rows) in _BODIES.items():
        name = f"tk_analytics_{what}_forgets"
        body = "".join(_FORGET.format(rows=each) for each in rows)
        made.append(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$")
        made.append(
            f"CREATE TRIGGER {name} AFTER {what.upper()} ON tk_analytics_events "
            f"REFERENCING {referencing} FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )
    return made
