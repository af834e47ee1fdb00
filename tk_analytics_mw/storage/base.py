"""What a storage must do: little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from tk_analytics_mw.events import Event


@runtime_checkable
class Storage(Protocol):
    """Keeps events.

    ``write`` is a plain function: under ASGI it runs in a worker thread, under WSGI in the thread of a
    request. Several threads may call it at once (an application can have both kinds of face), and so may
    other processes. Open nothing before the first call, and key what you open by ``os.getpid()``: servers
    fork.
    """

    def write(self, events: Sequence[Event], /) -> Sequence[Event] | None:
        """Make all ``events`` durable before returning, or none of them and raise.

        An event whose ``id`` is already held is left as it is: the same write may be tried again. One whose
        ``idempotency_key`` is already held for its ``org_id`` is not stored; give the first in its place.

        Returns:
            The events as they now stand, in the same order, or ``None`` for "just as they were given".

        Raises:
            StorageUnavailable: nothing can be written now. The clients get 503 and may send again.
            Exception: any other one is taken for the fault of one of the events: halves of the batch are
                tried again, so that the bad one fails alone.
        """
        ...

    def close(self) -> None:
        """Let go of what is open in this process. A later ``write`` opens it again."""
        ...
