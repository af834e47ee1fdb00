"""What the suites of storages have in common: how a storage is opened, and what is in it."""

from __future__ import annotations

import itertools
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final

import pytest
from hypothesis import HealthCheck, settings

from tk_analytics_mw.events import Event
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.base import Storage
from tk_analytics_mw.storage.reader import ReadableStorage
from tk_analytics_mw.storage.rows import event_of

OpenStorage = Callable[[], Any]

PATIENCE: Final = 30.0
"""Seconds until a child that was forked is taken to hang."""

# The storage is the same for all examples of a test; each example has an organisation of its own in it.
examples: Final = settings(max_examples=50, deadline=None, suppress_health_check=[*HealthCheck])

_numbers: Final = itertools.count(1)


def new_organisation() -> str:
    """An organisation that nobody else has."""
    return f"org-{next(_numbers)}"


class Opened:
    """A suite of tests of a storage. Subclass it with the fixture ``open_storage``."""

    several_processes: ClassVar[bool] = True
    """``False`` for a storage that lives in one process: tests with another one are left out."""

    protocol: ClassVar[Any] = Storage
    """What the suite is about."""

    most_examples: ClassVar[int | None] = None
    """Of each property test, for a storage that takes its time; ``None`` for as many as the suite has for all."""

    examples_seen = 0

    def enough(self) -> bool:
        """Whether a property test has tried as many examples as it is to: then it ends before it has begun."""
        self.examples_seen += 1
        return self.most_examples is not None and self.examples_seen > self.most_examples

    @pytest.fixture
    def open_storage(self) -> OpenStorage:
        """Override it: give a function that opens the storage, which is empty when the test begins.

        Each call gives another object on the same data, as another process has it; a storage that lives in one
        process gives the same one.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a fixture open_storage()")

    @pytest.fixture
    def another(self, open_storage: OpenStorage) -> Iterator[OpenStorage]:
        """Open one more object. It is closed in the end."""
        made: list[Any] = []

        def opened() -> Any:
            made.append(open_storage())
            return made[-1]

        yield opened
        for storage in made:
            storage.close()

    @pytest.fixture
    def storage(self, another: OpenStorage) -> Any:
        """The storage under test."""
        made = another()
        assert isinstance(made, self.protocol)
        return made

    def stored(self, storage: Any, org_id: str = "acme") -> Sequence[Event]:
        """Everything that is stored of an organisation, in the order of commits.

        Asked of the storage's reader. Override it for a storage that has none.
        """
        if not isinstance(storage, ReadableStorage):
            pytest.fail(f"{type(storage).__name__} has no reader: override {type(self).__name__}.stored()")
        position, until = 0, storage.reader.last_position()
        events: list[Event] = []
        while position < until:
            part = storage.reader.rows(Filter(org_id), after=position, until=until)
            assert part.position > position, "the reader's rows() goes on"
            events += map(event_of, part.rows)
            position = part.position
        return events

    def in_a_fork(self, function: Callable[[], object]) -> None:
        """Call a function in a child of this process, and see that it ends well."""
        if not self.several_processes or not hasattr(os, "fork"):
            pytest.skip("one process only")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, where a library has a thread
            child = os.fork()
        if child == 0:
            code = 1
            try:
                function()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        deadline = time.monotonic() + PATIENCE
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                pytest.fail("the storage hangs in a child that was forked")
            time.sleep(0.01)
        assert os.waitstatus_to_exitcode(status) == 0, "the storage does not work in a child that was forked"
