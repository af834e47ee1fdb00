"""The storage in memory."""

from __future__ import annotations

from collections.abc import Sequence

from tk_analytics_mw.events import Event
from tk_analytics_mw.storage.memory.erasure import MemoryErasure
from tk_analytics_mw.storage.memory.figures import MemoryFigures
from tk_analytics_mw.storage.memory.held import Held
from tk_analytics_mw.storage.memory.outbox import MemoryOutbox
from tk_analytics_mw.storage.memory.reader import MemoryReader
from tk_analytics_mw.storage.memory.tokens import MemoryTokens
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.rows import event_of, row_of


class MemoryStorage:
    """Keeps events as long as the object lives, in one process. Nothing is durable."""

    def __init__(self) -> None:
        self._held = Held()
        self.outbox = MemoryOutbox(self._held)
        self.reader = MemoryReader(self._held)
        self.figures = MemoryFigures(self._held)
        self.erasure = MemoryErasure(self._held)
        self.tokens = MemoryTokens()

    @property
    def events(self) -> list[Event]:
        """All of them, of all organisations, in the order of commits."""
        with self._held.lock:
            return [*self._held.events.values()]

    def write(self, events: Sequence[Event], due: Sequence[Subscription] = ()) -> Sequence[Event]:
        """See :meth:`DurableStorage.write <tk_analytics_mw.storage.outbox.DurableStorage.write>`."""
        # By way of a row, as in any other storage: what cannot be written down is refused here too, and a hook that
        # changes an object of its event changes nothing that is held.
        copies = [event_of(row_of(event)) for event in events]
        answer = []
        with self._held.lock:
            for copy in copies:
                first = self._held.first(copy)
                if first is None:
                    position = self._held.add(copy)
                    for subscription in due:
                        self._held.owe(subscription, position)
                # An id of another organisation's: not stored, and nothing is told of what is.
                answer.append(first if first is not None and first.org_id == copy.org_id else copy)
        return answer

    def close(self) -> None:
        """Nothing is open. Events stay."""
