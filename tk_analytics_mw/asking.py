"""The way of a question from a request to the storage: who asks, what, and whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tk_analytics_mw.access import authenticate, organisation_read
from tk_analytics_mw.errors import ConfigurationError, Refused
from tk_analytics_mw.messages import Request
from tk_analytics_mw.parameters import Parameters, parse
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.base import Storage
from tk_analytics_mw.storage.reader import Reader, reader_of
from tk_analytics_mw.waiting import Waits

Model = TypeVar("Model", bound=Parameters)
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Question(Generic[Model]):
    """A question that may be answered."""

    org_id: str
    """Whose events it is about: always the organisation of who asks."""
    parameters: Model
    reader: Reader


async def question(request: Request, parts: Parts, waits: Waits, model: type[Model]) -> Question[Model]:
    """Check who asks, and read the query parameters.

    Args:
        request: of a path that answers questions.
        parts: of the host application.
        waits: how to wait.
        model: what the query parameters may be.

    Raises:
        Refused: with 401 or 403, not this one; with 501, the storage answers no questions.
        InvalidEvent: a parameter is not valid.
    """
    principal = await authenticate(request, parts, waits)
    organisation_read(None, principal)
    parameters = parse(request, model, others=bool(parts.authenticators))
    org_id = organisation_read(parameters.org_id, principal)
    return Question(org_id, parameters, offered(reader_of, parts))


def offered(part_of: Callable[[Storage], Part], parts: Parts) -> Part:
    """A part of the storage, such as :func:`~tk_analytics_mw.storage.figures.figures_of` gives.

    Raises:
        Refused: with 501, it has none.
    """
    try:
        return part_of(parts.storage)
    except ConfigurationError as error:
        raise Refused(f"The storage cannot do this: {error}.", status=501) from error
