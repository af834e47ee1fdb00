"""The way of a question from a request to the storage: who asks, what, and whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from tk_analytics_mw.access import authenticate, organisation_read
from tk_analytics_mw.errors import Refused
from tk_analytics_mw.messages import Request
from tk_analytics_mw.parameters import Parameters, parse
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.figures import CountingStorage, Figures
from tk_analytics_mw.storage.reader import ReadableStorage, Reader
from tk_analytics_mw.waiting import Waits

Model = TypeVar("Model", bound=Parameters)


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
    return Question(org_id, parameters, reader_of(parts))


def reader_of(parts: Parts) -> Reader:
    """What answers questions to the storage.

    Raises:
        Refused: with 501, nothing.
    """
    if not isinstance(parts.storage, ReadableStorage):
        name = type(parts.storage).__name__
        raise Refused(f"The storage, {name}, keeps events and answers no questions about them.", status=501)
    return parts.storage.reader


def figures_of(parts: Parts) -> Figures:
    """What gives figures.

    Raises:
        Refused: with 501, nothing.
    """
    if not isinstance(parts.storage, CountingStorage):
        name = type(parts.storage).__name__
        raise Refused(f"The storage, {name}, keeps events and gives no figures about them.", status=501)
    return parts.storage.figures
