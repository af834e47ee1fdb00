"""Which events a command is about, and what it asks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import click

from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.survey import SurveyedStorage

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a command is about."""

    org_id: str | None
    equals: dict[str, str]

    def filters(self, parts: Parts, since: datetime | None = None) -> list[Filter]:
        """One for each organisation."""
        names = [self.org_id] if self.org_id is not None else surveyed(parts).organisations()
        return [Filter(name, equals=self.equals, since=since) for name in names]


def with_filters(command: Function) -> Function:
    """Give a command the options that say which events; :func:`wanted_events` takes them."""
    for option in (
        click.option("--asset", "asset_id", help="Only of this asset."),
        click.option("--user", "user_id", help="Only of this user."),
        click.option("--session", "session_id", help="Only of this session."),
        click.option("--type", "event_type", help="Only of this event type, in any spelling."),
        click.option("--org", "org_id", help="Only of this organisation. Default: of all."),
    ):
        command = option(command)
    return command


def wanted_events(parts: Parts, org_id: str | None, event_type: str | None, **equals: str | None) -> Wanted:
    """Which events the options of :func:`with_filters` ask for."""
    found = {name: value for name, value in equals.items() if value is not None}
    if event_type is not None:
        found["event_type"] = parts.event_types.require(event_type)
    return Wanted(org_id, found)


def surveyed(parts: Parts) -> SurveyedStorage:
    """The storage, as one that says what it holds.

    Raises:
        ConfigurationError: it does not.
    """
    if not isinstance(parts.storage, SurveyedStorage):
        raise ConfigurationError(f"{type(parts.storage).__name__} does not say what it holds")
    return parts.storage
