"""The contract as types: what an event is called, what a request may say, what is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError
from typing_extensions import Required, TypedDict

from tk_analytics_mw.errors import FieldError, InvalidEvent
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.json_values import problem

MAX_ID: Final = 200
"""Characters of an ID: PostHog's bound. Those of Threekit are UUIDs, 36 characters."""


# What broken clients send in masses for a session they do not have. One such "session" gathered
# hundreds of thousands of events in a peer's database.
_PLACEHOLDERS: Final = frozenset({"null", "undefined", "[object object]", "00000000-0000-0000-0000-000000000000"})


def _no_placeholder(value: str) -> str:
    if value.lower() in _PLACEHOLDERS:
        raise PydanticCustomError("placeholder", "a placeholder is not an ID: the client failed to fill it in")
    return value


Identifier = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID, pattern=r"\S")]
RequiredIdentifier = Annotated[Identifier, AfterValidator(_no_placeholder)]
ConfigId = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:[A-Za-z0-9_-]{7,14}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$",
    ),
]
Metric = Annotated[float, Field(allow_inf_nan=False)]


class NewEvent(BaseModel):
    """The body of ``POST …/events``: fields of the contract, camelCase on the wire. ``null`` means absent."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    event_type: Annotated[str, Field(description="What happened: one of the event types.")]
    org_id: Annotated[RequiredIdentifier, Field(description="ID of the organisation linked to the event.")]
    session_id: Annotated[RequiredIdentifier, Field(description="ID of the session linked to the event.")]
    event_metadata: Annotated[dict[str, Any] | None, Field(description="User-defined metadata.")] = None
    asset_id: Annotated[Identifier | None, Field(description="Asset linked to the event.")] = None
    user_id: Annotated[Identifier | None, Field(description="User of the session.")] = None
    config_id: Annotated[ConfigId | None, Field(description="Short ID or UUID of a saved configuration.")] = None
    configuration: Annotated[
        dict[str, Any] | None, Field(description="Complete configuration, instead of configId.")
    ] = None
    device: Annotated[
        Identifier | None, Field(description="Device of the session; default: taken from the User-Agent.")
    ] = None
    metric: Annotated[Metric | None, Field(description="Arbitrary metric, decimals allowed; default 1.")] = None


class EventFields(TypedDict, total=False):
    """What host code may say of an event that it records, in Python's names."""

    org_id: Required[str]
    session_id: Required[str]
    event_metadata: dict[str, Any] | None
    asset_id: str | None
    user_id: str | None
    config_id: str | None
    configuration: dict[str, Any] | None
    device: str | None
    metric: float | None
    idempotency_key: str | None
    """Recording the same key for the same organisation again gives the first event."""


class Event(NewEvent):
    """A stored event, as hooks get it. It does not change; :meth:`replace` makes another one.

    Beside the fields of :class:`NewEvent` it has what we know of the request.
    """

    id: str
    """UUIDv7, ordered by time."""
    created_at: datetime
    """UTC, milliseconds."""
    spelling: str
    """The event type as the request spelled it, which the answer repeats; ``event_type`` is canonical."""
    metric: Metric = 1.0
    device_type: str | None = None
    """``mobile``, ``tablet``, ``pc``, ``bot`` or ``other``, from the User-Agent; ``None`` for host code's events."""
    device_family: str | None = None
    system: str | None = None
    browser: str | None = None
    user_agent: str | None = None
    """Only with the setting ``store_user_agent``."""
    request_url: str | None = None
    request_origin: str | None = None
    referer: str = ""
    idempotency_key: str | None = Field(default=None, repr=False)

    @property
    def is_bot(self) -> bool:
        """Whether the User-Agent is one of a bot. Bots are stored and marked, unless ``drop_bots`` is on."""
        return self.device_type == "bot"

    def replace(self, **changes: Any) -> Event:
        """Return a copy with other values, checked like a request's.

        Args:
            changes: any field but those that say which event this is: ``id``, ``created_at``, ``event_type``,
                ``org_id``.

        Raises:
            InvalidEvent: a value is not valid.
            TypeError: there is no such field, or it may not change.
        """
        for name in changes:
            if name not in _CHANGEABLE:
                raise TypeError(f"replace() does not change {name!r}")
        check_values(changes)
        return build_event({**self.__dict__, **changes})

    def with_metadata(self, **entries: Any) -> Event:
        """Return a copy whose ``event_metadata`` has these entries too. Raises as :meth:`replace` does."""
        return self.replace(event_metadata={**(self.event_metadata or {}), **entries})

    def as_answer(self) -> dict[str, Any]:
        """The event as the API returns it: what is absent is left out, the facts of the request never."""
        values = self.__dict__  # a model's attributes take twice as long
        answer: dict[str, Any] = {
            "id": values["id"],
            "createdAt": timestamp(values["created_at"]),
            "eventType": values["spelling"],
            "orgId": values["org_id"],
            "sessionId": values["session_id"],
        }
        if (value := values["event_metadata"]) is not None:
            answer["eventMetadata"] = value
        if (value := values["asset_id"]) is not None:
            answer["assetId"] = value
        if (value := values["user_id"]) is not None:
            answer["userId"] = value
        if (value := values["config_id"]) is not None:
            answer["configId"] = value
        if (value := values["configuration"]) is not None:
            answer["configuration"] = value
        if (value := values["device"]) is not None:
            answer["device"] = value
        answer["metric"] = values["metric"]
        answer["requestUrl"] = values["request_url"]
        answer["requestOrigin"] = values["request_origin"]
        answer["referer"] = values["referer"]
        return answer

    def as_read(self) -> dict[str, Any]:
        """The event as reads return it: with its canonical type."""
        answer = self.as_answer()
        answer["eventType"] = self.event_type
        return answer


_FIXED: Final = {"id", "created_at", "event_type", "org_id", "spelling", "idempotency_key"}
_CHANGEABLE: Final = frozenset(Event.model_fields) - _FIXED
_WIRE_NAMES: Final = {name: to_camel(name) for name in Event.model_fields}
_KNOWN: Final = frozenset([*_WIRE_NAMES, *_WIRE_NAMES.values()])

# Of every model pydantic keeps which fields were given: 2 KB each, while hundreds wait for their commit. To everybody
# an event's fields are all given.
_ALL: Final = set(Event.model_fields)
_set = object.__setattr__
_validate = Event.__pydantic_validator__.validate_python


def check_values(values: Mapping[str, Any], loc: tuple[str | int, ...] = ()) -> None:
    """Check that JSON and every storage can hold the values of an event, however deep they stand.

    Args:
        values: field names to values.
        loc: where they stand, for the errors: ``("body",)``.

    Raises:
        InvalidEvent: one cannot be held.
    """
    for name, value in values.items():
        what = problem(name) or problem(value, level=2)
        if what is not None:
            # A key that is not of the contract is the client's own text: not to be repeated.
            where = (*loc, name) if name in _KNOWN else loc
            raise InvalidEvent.at(*where, msg=what, type="json_value")


def build_event(values: Mapping[str, Any], *, from_wire: bool = False, loc: tuple[str | int, ...] = ()) -> Event:
    """Make an :class:`Event` of values that :func:`check_values` has no objection to.

    Args:
        values: field names to values.
        from_wire: the names are those of the contract, ``orgId``; else Python's, ``org_id``. Never both: a
            client cannot get past a check by spelling a name otherwise.
        loc: where the values stand, for the errors: ``("body",)``.

    Raises:
        InvalidEvent: they are not an event.
    """
    try:
        event: Event = _validate(values, by_alias=from_wire, by_name=not from_wire)
        _set(event, "__pydantic_fields_set__", _ALL)
        return event
    except ValidationError as error:
        raise InvalidEvent(_field_errors(error, loc)) from None


def _field_errors(error: ValidationError, loc: tuple[str | int, ...]) -> list[FieldError]:
    found = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        message = detail["msg"]
        if detail["type"] == "string_pattern_mismatch":  # a regular expression says little to most people
            name = str(detail["loc"][-1])
            message = (
                "must be 7 to 14 of A-Z a-z 0-9 _ - or a UUID" if name.startswith("config") else "must not be blank"
            )
        found.append(FieldError(loc=[*loc, *detail["loc"]], msg=message, type=detail["type"]))
    return found


_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def check_idempotency_key(key: str) -> str:
    """Return ``key``.

    Raises:
        InvalidEvent: it is not 1 to 200 visible ASCII characters.
    """
    if _IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise InvalidEvent.at("header", "Idempotency-Key", msg="1 to 200 visible ASCII characters are needed")
    return key
