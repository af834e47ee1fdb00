"""``import``: events from a file. What is read twice is stored once."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timezone
from typing import Any, BinaryIO, Final
from uuid import UUID

import click
from pydantic.alias_generators import to_camel

from tk_analytics_mw.cli.options import json_object
from tk_analytics_mw.cli.progress import progress
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.errors import InvalidEvent
from tk_analytics_mw.events import Event, build_event, check_values
from tk_analytics_mw.identifiers import first_event_id, new_event_id, time_of
from tk_analytics_mw.json_values import load
from tk_analytics_mw.parts import Parts

BATCH: Final = 500
"""Events of one commit, for which others wait some 10 ms."""

MAX_TOLD: Final = 20
"""Lines that are wrong and told of; all are counted."""

# Of an event's fields those that a file cannot set.
_NOT_SET: Final = frozenset(map(to_camel, ("id", "created_at", "spelling", "idempotency_key")))


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--org", "org_id", help="The organisation of events that do not name theirs.")
@json_object
@with_parts
def import_(parts: Parts, file: BinaryIO, org_id: str | None, as_json: bool) -> None:
    """Store the events of FILE, - for standard input: an export of ours in NDJSON, or a create body a line.

    An event that has an id and a time keeps them. Others get them by what stands before them in the file: run it
    again after an interruption, or after the file has grown, and nothing is stored twice. Hooks are not called.

    Lines that are no events are told of and left out; the exit code is then 1.
    """
    stored, wrong = 0, 0
    batch: list[Event] = []
    size = 0 if file.name in ("-", "<stdin>") else os.fstat(file.fileno()).st_size
    seen = hashlib.sha256()
    read = 0
    with progress("importing") as report:
        for number, line in enumerate(file, start=1):  # not all at once: it may be larger than the memory
            seen.update(line)
            read += len(line)
            if not line.strip():
                continue
            try:
                batch.append(_event(line, org_id, seen.digest(), parts))
            except InvalidEvent as error:
                wrong += 1
                if wrong <= MAX_TOLD:
                    click.echo(f"line {number}: {error}", err=True)
            if len(batch) >= BATCH:
                stored += _store(parts, batch)
                report(read, max(size, read))
        stored += _store(parts, batch)
    if as_json:
        click.echo(json.dumps({"events": stored, "wrong": wrong}))
    else:
        click.echo(f"{stored:,} events are stored" + (f", {wrong:,} lines were no events" if wrong else ""))
    if wrong:
        raise SystemExit(1)


def _store(parts: Parts, batch: list[Event]) -> int:
    number = len(batch)
    if batch:
        parts.storage.write(batch)
        batch.clear()
    return number


def _event(line: bytes, org_id: str | None, seen: bytes, parts: Parts) -> Event:
    """Make the event of a line.

    Args:
        line: JSON.
        org_id: if it names none.
        seen: SHA-256 of all of the file up to here: by it a line is known again, wherever an import broke off.
        parts: of the application.

    Raises:
        InvalidEvent: it is none.
    """
    given = load(line).value
    if not isinstance(given, dict):
        raise InvalidEvent.at(msg="must be a JSON object", type="dict_type")
    check_values(given)
    values = {name: value for name, value in given.items() if name not in _NOT_SET and value is not None}
    values.setdefault("metric", 1.0)
    if org_id is not None:
        values.setdefault("orgId", org_id)
    spelling = given.get("eventType")
    canonical = parts.event_types.canonical(spelling) if isinstance(spelling, str) else None
    if canonical is None:
        raise InvalidEvent.at("eventType", msg="is not an event type", type="enum")
    values |= {"eventType": canonical, "spelling": spelling}
    created_at = _moment(given.get("createdAt"))
    if created_at is None:
        values["id"], values["createdAt"] = new_event_id()
        values["idempotencyKey"] = f" import {seen.hex()}"  # a blank is in no key that a client can send
    else:
        values["createdAt"] = created_at
        values["id"] = _id(given.get("id"), created_at, seen)
    return build_event(values, from_wire=True)


def _moment(given: Any) -> datetime | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(str(given).replace("Z", "+00:00"))
    except ValueError:
        raise InvalidEvent.at("createdAt", msg="must be a date and time, ISO 8601", type="datetime") from None
    if moment.tzinfo is None or not 1970 <= moment.year <= 9000:
        raise InvalidEvent.at("createdAt", msg="must have a time zone: end it with Z", type="datetime")
    moment = moment.astimezone(timezone.utc)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _id(given: Any, created_at: datetime, seen: bytes) -> str:
    """An id whose time is that of the event, for retention and pages go by it: its own if it is such a one."""
    try:
        own = str(UUID(given)) if isinstance(given, str) else None
    except ValueError:
        own = None
    if own is not None and own[14] == "7" and time_of(own) == created_at:
        return own
    # The same foreign id gives the same id of ours; without one the place in the file does.
    digest = seen if given is None else hashlib.sha256(str(given).encode()).digest()
    tail = digest.hex()
    return f"{first_event_id(created_at)[:14]}7{tail[:3]}-{8 + digest[31] % 4:x}{tail[3:6]}-{tail[6:18]}"
