"""What the figures' endpoints give, in the words of JSON Schema."""

from __future__ import annotations

from typing import Any, Final

from tk_analytics_mw.schemas import a_list, an_object

_INTEGER: Final[dict[str, Any]] = {"type": "integer"}
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_MOMENT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_NUMBER_OR_NULL: Final[dict[str, Any]] = {"type": ["number", "null"]}
_TIMES: Final[dict[str, Any]] = {"since": _MOMENT, "until": _MOMENT, "timezone": _TEXT}

VIEWS: Final = an_object(
    {
        "range": _TEXT,
        "timezone": _TEXT,
        "page": _INTEGER,
        "perPage": _INTEGER,
        "sort": _TEXT,
        "count": {**_INTEGER, "description": "Periods, on all pages."},
        "views": a_list(
            an_object(
                {
                    "year": {**_INTEGER, "description": "Of a week: that of ISO 8601."},
                    "views": _INTEGER,
                    "cumulative": {**_INTEGER, "description": "The sum from the first period on."},
                },
                {
                    **dict.fromkeys(("month", "week", "day", "hour"), _INTEGER),
                    "start": {**_MOMENT, "description": "Of hours and weeks: the first moment."},
                },
            )
        ),
    }
)

FUNNEL: Final = an_object(
    {
        **_TIMES,
        "within": {**_NUMBER_OR_NULL, "description": "Seconds."},
        "steps": a_list(
            an_object(
                {
                    "eventType": _TEXT,
                    "sessions": _INTEGER,
                    "conversion": {**_NUMBER_OR_NULL, "description": "Of the sessions at the first step, 0 to 1."},
                    "fromPrevious": {**_NUMBER_OR_NULL, "description": "Of the sessions at the step before."},
                    "medianSeconds": {**_NUMBER_OR_NULL, "description": "From the step before."},
                }
            )
        ),
    }
)

_AMOUNTS: Final[dict[str, Any]] = {
    "events": _INTEGER,
    "sum": {"type": "number", "description": "Of metric."},
    "mean": {**_NUMBER_OR_NULL, "description": "Of metric."},
    "sessions": {**_INTEGER, "description": "Unlike ones."},
    "users": {**_INTEGER, "description": "Unlike ones."},
}

BREAKDOWN: Final = an_object(
    {
        **_TIMES,
        "by": _TEXT,
        "total": an_object(_AMOUNTS),
        "groups": a_list(an_object({"value": {"description": "null for events that have none."}, **_AMOUNTS})),
        "other": an_object({"values": {**_INTEGER, "description": "Without a group of their own."}, **_AMOUNTS}),
    }
)

ATTRIBUTES: Final = an_object(
    {
        **_TIMES,
        "attributes": a_list(
            an_object(
                {
                    "attribute": _TEXT,
                    "sessions": {**_INTEGER, "description": "In which any value was chosen."},
                    "values": a_list(
                        an_object({"value": {}, **dict.fromkeys(("sessions", "carts", "orders"), _INTEGER)})
                    ),
                    "otherValues": _INTEGER,
                }
            )
        ),
    }
)
