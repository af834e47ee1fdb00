"""The way of an event from a request body to the hooks, each step one function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tk_analytics_mw.access import check_organisation, organisation_in_query
from tk_analytics_mw.auth.base import Principal
from tk_analytics_mw.device import Device, device_of
from tk_analytics_mw.errors import Drop, FieldError, InvalidEvent, Refused
from tk_analytics_mw.events import Event, EventFields, build_event, check_idempotency_key, check_values
from tk_analytics_mw.hooks import Calls
from tk_analytics_mw.identifiers import new_event_id
from tk_analytics_mw.messages import Request, clean_url
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.waiting import Waits, run_blocking


class Sender(NamedTuple):
    """What one request says of all its events."""

    request: Request
    principal: Principal
    org_id: str | None
    """The organisation in the query."""
    idempotency_key: str | None
    device: Device
    facts: dict[str, Any]
    """Fields of the event that the client cannot set, in the wire's spelling."""
    anonymous: bool
    """Whether its events are kept without ``userId``."""
    dropped: str | None
    """Why its events are not kept, if they are not."""


def sender_of(request: Request, principal: Principal, parts: Parts) -> Sender:
    """Read from the request what is the same for all its events.

    Raises:
        InvalidEvent, Refused: its ``orgId`` or ``Idempotency-Key`` will not do.
    """
    user_agent = request.header(b"user-agent") or ""
    key = request.header(b"idempotency-key")
    device = device_of(user_agent)
    settings = parts.settings
    gpc = settings.respect_gpc if request.header(b"sec-gpc") == "1" else "ignore"
    dropped = None
    if gpc == "drop":
        dropped = "Sec-GPC"
    elif settings.drop_bots and device.type == "bot" and principal.kind == "public":
        dropped = "bot"  # not what the shop's own server reports, by whatever HTTP client
    return Sender(
        request=request,
        principal=principal,
        org_id=organisation_in_query(request, principal, parts),
        idempotency_key=None if key is None else check_idempotency_key(key),
        device=device,
        facts={
            "deviceType": device.type,
            "deviceFamily": device.family,
            "system": device.system,
            "browser": device.browser,
            "userAgent": user_agent if user_agent and settings.store_user_agent else None,
            "requestUrl": request.url_without_query,
            "requestOrigin": request.header(b"origin"),
            "referer": clean_url(request.header(b"referer") or ""),
            "idempotencyKey": None,
        },
        anonymous=gpc == "anonymise",
        dropped=dropped,
    )


def event_from(given: Any, sender: Sender, parts: Parts, *, plain: bool, number: int | None = None) -> Event:
    """Validate what a body holds and make the event of it.

    Args:
        given: parsed JSON.
        sender: of the request.
        parts: of the host application.
        plain: see :class:`~tk_analytics_mw.json_values.Parsed`.
        number: of the event in a batch, from 0.

    Raises:
        InvalidEvent: it is not an event.
        Refused: with 403, the principal may not create this one.
    """
    loc: tuple[str | int, ...] = ("body",) if number is None else ("body", "events", number)
    if type(given) is not dict:
        raise InvalidEvent.at(*loc, msg="must be a JSON object", type="dict_type")
    if not plain:
        check_values(given, loc)
    values = {**given, **sender.facts}  # what the client may not set comes last
    values["id"], values["createdAt"] = new_event_id()
    # null means absent
    if values.get("metric") is None:
        values["metric"] = 1.0
    if values.get("device") is None:
        values["device"] = sender.device.text
    if values.get("orgId") is None and parts.settings.org_from_token:
        values["orgId"] = sender.org_id or sender.principal.org_id
    if sender.idempotency_key is not None:
        values["idempotencyKey"] = _stored_key(sender.idempotency_key, sender.principal, values.get("orgId"), number)
    spelling = given.get("eventType")
    canonical = parts.event_types.canonical(spelling) if isinstance(spelling, str) else None
    values["spelling"] = spelling if canonical else ""
    if canonical is not None:
        values["eventType"] = canonical
    try:
        event = build_event(values, from_wire=True, loc=loc)
    except InvalidEvent as error:
        raise InvalidEvent([*_unknown_type(spelling, canonical, parts, loc), *error.errors]) from None
    if canonical is None:
        raise InvalidEvent(_unknown_type(spelling, canonical, parts, loc))
    if sender.org_id is not None and sender.org_id != event.org_id:
        raise InvalidEvent.at(*loc, "orgId", msg="is not the orgId of the query")
    check_organisation(event.org_id, sender.principal, parts)
    if canonical in parts.private_only and sender.principal.kind == "public":
        raise Refused("Events of this type are created with a private token only.", status=403)
    if sender.anonymous and event.user_id is not None:
        return event.model_copy(update={"user_id": None})
    return event


def _stored_key(key: str, principal: Principal, org_id: Any, number: int | None) -> str:
    # A blank is in no key that a client can send. One key for a batch makes one for each event of it.
    if number is not None:
        key = f"{key} {number}"
    # About a public organisation everybody may speak, and nobody may get another's event for an answer.
    return key if org_id == principal.org_id else f" {principal.org_id} {key}"


def _unknown_type(given: Any, canonical: str | None, parts: Parts, loc: tuple[str | int, ...]) -> list[FieldError]:
    if canonical is not None or not isinstance(given, str):
        return []
    known = ", ".join(map(repr, parts.event_types.known))
    return [FieldError(loc=[*loc, "eventType"], msg=f"is not an event type; known are {known}", type="enum")]


def is_watched(parts: Parts, sender: Sender | None = None) -> bool:
    """Whether :func:`keep` has more to do with such events than to have them stored."""
    return bool(parts.hooks) or bool(parts.receivers()) or (sender is not None and sender.dropped is not None)


async def keep(
    events: Sequence[Event], parts: Parts, waits: Waits, sender: Sender | None = None
) -> tuple[Sequence[Event | Exception], Calls]:
    """Have events seen by ``before_store``, stored, and seen by the *inline* hooks. A dropped one passes for stored.

    Args:
        events: valid ones.
        parts: of the host application.
        waits: how to wait.
        sender: of the request that brought them; ``None`` for host code.

    Returns:
        The outcome of each, in order, and the calls of *after* hooks that are due once the answer is out.

    Raises:
        StorageUnavailable: the queue is full.
    """
    if sender is not None and sender.dropped is not None:
        drop = Drop(parts.hooks.count_dropped(sender.dropped, len(events)))
        for _ in events:
            parts.refusals.note(drop, sender.request)
        return events, ()
    if not is_watched(parts):
        return await waits.commit(parts.commits, events), ()
    return await _keep_with_hooks(events, parts, waits, sender)


async def _keep_with_hooks(
    events: Sequence[Event], parts: Parts, waits: Waits, sender: Sender | None
) -> tuple[Sequence[Event | Exception], Calls]:
    outcomes, prepared = await _prepare(events, parts, waits, sender)
    if prepared:
        stored = await waits.commit(parts.commits, list(prepared.values()))
        for number, outcome in zip(prepared, stored, strict=True):
            outcomes[number] = outcome
    # A repeated event comes back as the first one was stored; its hooks have been called then.
    new = [
        outcome
        for number, event in prepared.items()
        if isinstance(outcome := outcomes[number], Event) and outcome.id == event.id
    ]
    return outcomes, await _run_inline(new, parts, waits)


async def _prepare(
    events: Sequence[Event], parts: Parts, waits: Waits, sender: Sender | None
) -> tuple[list[Event | Exception], dict[int, Event]]:
    """Give what ``before_store`` makes of each event, and by their numbers those that are to be stored."""
    outcomes: list[Event | Exception] = list(events)
    prepared: dict[int, Event] = dict(enumerate(events))
    if not parts.hooks.prepares:
        return outcomes, prepared
    request = None if sender is None else sender.request
    for number, event in enumerate(events):
        try:
            prepared[number], dropped = await parts.hooks.prepare(event, request, waits)
            outcomes[number] = prepared[number]
            wanted = dropped is None
            if dropped is not None:
                parts.refusals.note(Drop(dropped), request, org_id=event.org_id)
        except Exception as error:  # noqa: BLE001 - a Reject, or a fault of host code: of this event alone
            wanted = False
            outcomes[number] = error
        if not wanted:
            del prepared[number]
    return outcomes, prepared


async def _run_inline(new: Sequence[Event], parts: Parts, waits: Waits) -> Calls:
    """Call the *inline* hooks for events that were stored just now. Give the calls of the *after* hooks."""
    await parts.hooks.run(parts.hooks.wanted("inline", new), waits)
    after = parts.hooks.wanted("after", new)
    return [*after, *((receiver, event) for event in new for receiver in parts.receivers())]


async def record(event_type: str, fields: Mapping[str, Any], parts: Parts, waits: Waits) -> Event:
    """Take in an event of host code: from validation on, the same way as one from a browser.

    Args:
        event_type: in any spelling.
        fields: as in :class:`~tk_analytics_mw.events.EventFields`.
        parts: of the host application.
        waits: how to wait.

    Raises:
        InvalidEvent, Reject, StorageUnavailable: see :meth:`tk_analytics_mw.Analytics.record`.
    """
    [outcome], after = await keep([_host_event(event_type, fields, parts)], parts, waits)
    if isinstance(outcome, Exception):
        raise outcome
    await parts.hooks.run(after, waits)
    return outcome


async def record_within(transaction: Any, event_type: str, fields: Mapping[str, Any], parts: Parts) -> Event:
    """:func:`record` in a transaction that host code has open, in its thread; hooks run after its commit.

    Args:
        transaction: what the storage takes for one.
        event_type: in any spelling.
        fields: as in :class:`~tk_analytics_mw.events.EventFields`.
        parts: of the host application.

    Raises:
        ConfigurationError: the storage writes in transactions of its own only.
    """
    waits = parts.blocking
    [outcome], prepared = await _prepare([_host_event(event_type, fields, parts)], parts, waits, None)
    if isinstance(outcome, Exception):
        raise outcome
    if not prepared:
        return outcome
    new: list[Event] = []

    async def call_hooks() -> None:
        await parts.hooks.run(await _run_inline(new, parts, waits), waits)

    stored = parts.writes.write_within(transaction, [outcome], then=lambda: run_blocking(call_hooks()))
    [event] = stored or [outcome]
    if event.id == outcome.id:
        new.append(event)
    return event


def _host_event(event_type: str, fields: Mapping[str, Any], parts: Parts) -> Event:
    for name in fields:
        if name not in EventFields.__annotations__:
            raise TypeError(f"record() takes no {name!r}")
    canonical = parts.event_types.canonical(event_type)
    if canonical is None:
        raise InvalidEvent(_unknown_type(event_type, None, parts, ()))
    values = {name: value for name, value in fields.items() if value is not None}
    if "idempotency_key" in values:
        check_idempotency_key(values["idempotency_key"])
    check_values(values)
    values["id"], values["created_at"] = new_event_id()
    return build_event({**values, "event_type": canonical, "spelling": event_type})
