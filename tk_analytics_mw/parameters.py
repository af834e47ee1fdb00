"""Query parameters of the reads as types: what they may be, once, for the endpoints and for OpenAPI.

Clients differ in how they write values. The published one sends texts as they are and everything else as JSON:
numbers, objects, ``null`` for "not given", and a ``Date`` as JSON has it, a text in quotes.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from tk_analytics_mw.errors import FieldError, InvalidEvent
from tk_analytics_mw.event_types import EventTypes
from tk_analytics_mw.json_values import INT64_MAX, INT64_MIN
from tk_analytics_mw.messages import Request
from tk_analytics_mw.queries import EQUAL_COLUMNS, Filter, Place, Scalar

MAX_TEXT: Final = 2000
"""Characters of a value: a URL that is stored has no more."""

MAX_METADATA: Final = 10
"""Keys of ``metadata`` that one filter can ask for: each is looked for in every event."""

_BEFORE_US: Final = frozenset({"bearer_token"})
"""What authentication has read already."""


def _unquoted(value: Any) -> Any:
    if isinstance(value, str) and value.startswith('"'):
        with suppress(ValueError):
            return json.loads(value)
    return value


def _moment(value: Any) -> Any:
    """A date, or a moment; without an offset it is in UTC."""
    value = _unquoted(value)
    if not isinstance(value, str):
        raise PydanticCustomError("datetime_type", "must be a date or a moment in ISO 8601")
    text = value.strip().replace(" ", "+")  # a plus sign that was not escaped arrives as a blank
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1:] in "zZ" and text else text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            "datetime_parsing", "must be a date or a moment in ISO 8601: 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None
    return moment


def _object(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise PydanticCustomError("json_invalid", "must be a JSON object") from None
    if not isinstance(value, dict):
        raise PydanticCustomError("dict_type", "must be a JSON object")
    if len(value) > MAX_METADATA:
        raise PydanticCustomError("too_long", f"must hold at most {MAX_METADATA} keys")
    for key, each in value.items():
        if not (each is None or isinstance(each, (str, int, float))):
            raise PydanticCustomError("json_type", "must hold texts, numbers, true, false and null: exact values")
        if isinstance(each, int) and not INT64_MIN <= each <= INT64_MAX:
            raise PydanticCustomError("json_value", "must hold no integer beyond 64 bits")
        if isinstance(each, float) and each - each != 0.0:
            raise PydanticCustomError("json_value", "must hold finite numbers")
        if any(isinstance(text, str) and not _storable(text) for text in (key, each)):
            raise PydanticCustomError("json_value", "must hold no character that an event cannot hold")
    return value


def _storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


Text = Annotated[str, Field(max_length=MAX_TEXT)]
Moment = Annotated[date | datetime, BeforeValidator(_moment)]
Metadata = Annotated[
    dict[str, Any],
    BeforeValidator(_object),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_METADATA,
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        }
    ),
]


class Parameters(BaseModel):
    """Base of all: names are those of the wire, and no others are taken."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=False)

    org_id: Annotated[Text | None, Field(description="The token's own organisation.")] = None


class FilterParameters(Parameters):
    """Which events. Every scalar field of an event can be asked for by its exact value."""

    id: Annotated[Text | None, Field(description="The event.")] = None
    event_type: Annotated[Text | None, Field(description="The event type, in any of its spellings.")] = None
    session_id: Text | None = None
    asset_id: Text | None = None
    user_id: Text | None = None
    config_id: Text | None = None
    device: Text | None = None
    device_type: Annotated[Text | None, Field(description="mobile, tablet, pc, bot or other.")] = None
    device_family: Text | None = None
    system: Text | None = None
    browser: Text | None = None
    user_agent: Text | None = None
    metric: Annotated[float | None, Field(allow_inf_nan=False)] = None
    request_url: Text | None = None
    request_origin: Text | None = None
    referer: Text | None = None
    metadata: Annotated[
        Metadata | None,
        Field(description="A JSON object: each of its keys has exactly this value in the event's metadata."),
    ] = None
    start_date: Annotated[
        Moment | None, Field(description="A date, or a moment (in UTC without an offset): events from then on.")
    ] = None
    sub_start_date: Annotated[Moment | None, Field(description="The same, as the published client spells it.")] = None
    end_date: Annotated[
        Moment | None, Field(description="A date: events of that day and before. A moment: events before it.")
    ] = None

    def as_filter(self, org_id: str, types: EventTypes, zone: tzinfo = timezone.utc) -> Filter:
        """The filter that they describe.

        Args:
            org_id: whose events: see :func:`~tk_analytics_mw.access.organisation_read`.
            types: that there are.
            zone: in which a date begins and ends.

        Raises:
            InvalidEvent: there is no such event type, or the time range is none.
        """
        equals = {name: value for name in EQUAL_COLUMNS if (value := getattr(self, name)) is not None}
        if "event_type" in equals:
            canonical = types.canonical(equals["event_type"])
            if canonical is None:
                known = ", ".join(map(repr, types.known))
                raise InvalidEvent.at("query", "eventType", msg=f"is not an event type; known are {known}", type="enum")
            equals["event_type"] = canonical
        if self.start_date is not None and self.sub_start_date is not None:
            raise InvalidEvent.at("query", "subStartDate", msg="is the same as startDate: give one of them")
        since = _first_moment(self.start_date or self.sub_start_date, "startDate", zone)
        until = _first_moment(self.end_date, "endDate", zone, days=1)
        if since is not None and until is not None and since > until:
            raise InvalidEvent.at("query", "endDate", msg="is before startDate")
        metadata: dict[str, Scalar] = self.metadata or {}
        return Filter(org_id, equals=equals, metadata=metadata, since=since, until=until)


def _first_moment(given: date | datetime | None, name: str, zone: tzinfo, days: int = 0) -> datetime | None:
    if given is None or isinstance(given, datetime):
        return given
    try:
        return datetime.combine(given + timedelta(days=days), time(), zone).astimezone(timezone.utc)
    except OverflowError:
        raise InvalidEvent.at("query", name, msg="is beyond the calendar") from None


Model = TypeVar("Model", bound=Parameters)


def parse(request: Request, model: type[Model], *, others: bool = False) -> Model:
    """Read the query parameters of a request.

    Args:
        request: whose.
        model: what they may be.
        others: whether there may be others: a host's own authenticator may have parameters of its own.

    Raises:
        InvalidEvent: one is not valid, not known, or given twice; each with ``["query", name]``.
    """
    known = {field.alias or name for name, field in model.model_fields.items()}
    given: dict[str, str] = {}
    errors: list[FieldError] = []
    for name, value in request.query_params.multi_items():
        if name in _BEFORE_US or (others and name not in known):
            continue
        if name in given:
            errors.append(_error(name, "is given more than once", "value_error"))
        elif not _storable(value) or not _storable(name):
            errors.append(_error(name, "holds a character that an event cannot hold", "json_value"))
        given[name] = value
    try:
        # null: how the published client says that it does not ask for this
        found = model.model_validate({name: value for name, value in given.items() if value != "null"})
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            unknown = detail["type"] == "extra_forbidden"
            message = "is no parameter of this path" if unknown else detail["msg"]
            errors.append(_error(str(detail["loc"][0]), message, detail["type"]))
    if errors:
        raise InvalidEvent(errors)
    return found


def _error(name: str, message: str, type_: str) -> FieldError:
    name = "".join(character for character in name[:100] if _storable(character))
    return FieldError(loc=["query", name], msg=message, type=type_)


# A place in a list, as text that a client hands back.


def cursor_of(place: Place) -> str:
    """The place as a text that fits into a URL."""
    return urlsafe_b64encode(f"{place.created_at} {place.position}".encode()).decode().rstrip("=")


_PLACE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\d{1,19})", re.ASCII)


def place_of(cursor: str | None) -> Place | None:
    """The place that :func:`cursor_of` made a text of.

    Raises:
        InvalidEvent: it did not.
    """
    if cursor is None:
        return None
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        text = ""
    found = _PLACE.fullmatch(text)
    if found is None or int(found[2]) > INT64_MAX:
        raise InvalidEvent.at("query", "cursor", msg="is not one that an answer held")
    return Place(found[1], int(found[2]))
