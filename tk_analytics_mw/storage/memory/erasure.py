"""Erasing events in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.erasure import SLICE, Erased, Progress, Subject
from tk_analytics_mw.storage.memory.held import Held


class MemoryErasure:
    """See :class:`~tk_analytics_mw.storage.erasure.Erasure`."""

    def __init__(self, held: Held) -> None:
        self._held = held

    def organisations(self, subject: Subject) -> list[str]:
        """See :meth:`Erasure.organisations <tk_analytics_mw.storage.erasure.Erasure.organisations>`."""
        with self._held.lock:
            return sorted({event.org_id for event in self._held.events.values() if _is_of(event, subject)})

    def erase(self, subject: Subject) -> Iterator[Progress]:
        """See :meth:`Erasure.erase <tk_analytics_mw.storage.erasure.Erasure.erase>`."""
        with self._held.lock:
            total = len(self._held.events)
            erased = self._held.remove(lambda event: _is_of(event, subject))
        yield Progress(erased, total, total)

    def count(self, before: datetime) -> int:
        """See :meth:`Erasure.count <tk_analytics_mw.storage.erasure.Erasure.count>`."""
        with self._held.lock:
            return sum(event.created_at < before for event in self._held.events.values())

    def purge(self, before: datetime, limit: int = SLICE) -> Erased:
        """See :meth:`Erasure.purge <tk_analytics_mw.storage.erasure.Erasure.purge>`."""
        with self._held.lock:
            return self._held.remove(lambda event: event.created_at < before, limit)

    def finish(self) -> bool:
        """See :meth:`Erasure.finish <tk_analytics_mw.storage.erasure.Erasure.finish>`."""
        return True


def _is_of(event: Event, subject: Subject) -> bool:
    asked = ((subject.org_id, event.org_id), (subject.user_id, event.user_id), (subject.session_id, event.session_id))
    return all(wanted in (None, there) for wanted, there in asked)
