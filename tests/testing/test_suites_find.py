"""The suites find what is wrong: storages and authenticators that are broken in one way each, and who says so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.making import ROOT

BROKEN = """
import os
import pytest
from tk_analytics_mw import Principal, StorageUnavailable
from tk_analytics_mw.storage.memory import MemoryStorage
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.testing import AuthenticatorSuite, ErasureSuite, FiguresSuite, OutboxSuite, Presented
from tk_analytics_mw.testing import ReaderSuite, StorageSuite


class Broken:
    several_processes = False
    made = MemoryStorage

    @pytest.fixture
    def open_storage(self):
        made = self.made()
        return lambda: made


class TestGood(Broken, StorageSuite): ...


class TestHalfABatch(Broken, StorageSuite):
    class made(MemoryStorage):
        def write(self, events, due=()):
            return [super(type(self), self).write([event], due)[0] for event in events]


class TestForgetsKeys(Broken, StorageSuite):
    class made(MemoryStorage):
        def write(self, events, due=()):
            super().write([event.model_copy(update={"idempotency_key": None}) for event in events], due)


class TestOverwrites(Broken, StorageSuite):
    class made(MemoryStorage):
        def write(self, events, due=()):
            ids = {event.id for event in events}
            self._held.remove(lambda event: event.id in ids)
            return super().write(events, due)


class TestSortsById(Broken, StorageSuite):
    class made(MemoryStorage):
        def write(self, events, due=()):
            super().write(sorted(events, key=lambda event: event.id), due)


class TestTrims(Broken, StorageSuite):
    class made(MemoryStorage):
        def write(self, events, due=()):
            return super().write([each.model_copy(update={"session_id": each.session_id.strip()}) for each in events])


class TestIsAwayForABadEvent(Broken, StorageSuite):
    class made(MemoryStorage):
        def write(self, events, due=()):
            try:
                return super().write(events, due)
            except Exception as error:
                raise StorageUnavailable("no") from error


class TestTellsOfOthers(Broken, StorageSuite):
    class made(MemoryStorage):
        def write(self, events, due=()):
            super().write(events, due)
            return [self._held.first(event) for event in events]


class TestOneProcessOnly(StorageSuite):
    @pytest.fixture
    def open_storage(self):
        made = MemoryStorage()
        return lambda: made


class TestClaimsTwice(Broken, OutboxSuite):
    class made(MemoryStorage):
        def __init__(self):
            super().__init__()
            claim = self.outbox.claim

            def claim_and_release(name, *, owner, **more):
                found = claim(name, owner=owner, **more)
                self.outbox.release(owner)
                return found

            self.outbox.claim = claim_and_release


class TestReadsOthers(Broken, ReaderSuite):
    class made(MemoryStorage):
        def __init__(self):
            super().__init__()
            self.reader.event = lambda org_id, event_id: next((e for e in self.events if e.id == event_id), None)


class TestCountsOneTooMany(Broken, FiguresSuite):
    class made(MemoryStorage):
        def __init__(self):
            super().__init__()
            views = self.figures.views
            self.figures.views = lambda wanted, edges: [n + (n > 2) for n in views(wanted, edges)]


class TestErasesTooMuch(Broken, ErasureSuite):
    class made(MemoryStorage):
        def __init__(self):
            super().__init__()
            erase = self.erasure.erase
            self.erasure.erase = lambda subject: erase(type(subject)(None, subject.user_id, subject.session_id))


def key(request):
    return Principal("acme") if request.headers.get("x-key") == "secret" else None


class Keys(AuthenticatorSuite):
    authenticator = staticmethod(key)

    @pytest.fixture
    def presented(self):
        return Presented(self.authenticator, {"acme": ({"X-Key": "secret"}, "")}, ((({"X-Key": "other"}), ""),))


class TestGoodKeys(Keys): ...


class TestByTheBeginning(Keys):
    def authenticator(request):
        return Principal("acme") if request.headers.get("x-key", "").startswith("secret") else None
    authenticator = staticmethod(authenticator)


class TestLetsEverybodyIn(Keys):
    authenticator = staticmethod(lambda request: Principal("acme"))


class TestTellsTheSecret(Keys):
    authenticator = staticmethod(lambda request: key(request) and Principal("acme", name="secret"))


class TestFallsOver(Keys):
    authenticator = staticmethod(lambda request: key(request) if request.headers["x-key"].encode("ascii") else None)
"""

FOUND = {
    "Good": set(),
    "GoodKeys": set(),
    "HalfABatch": {"test_of_a_batch_with_an_event_that_is_refused_nothing_is_stored_and_the_next_is"},
    "ForgetsKeys": {"test_a_key_that_is_held_gives_the_first_event_in_its_place"},
    "Overwrites": {"test_an_id_that_is_held_is_left_as_it_is"},
    "SortsById": {"test_a_batch_is_stored_in_its_own_order_whatever_the_ids"},
    "Trims": {"test_no_text_is_more_than_a_text"},
    "IsAwayForABadEvent": {"test_of_a_batch_with_an_event_that_is_refused_nothing_is_stored_and_the_next_is"},
    "TellsOfOthers": {"test_an_id_of_another_organisation_is_neither_told_nor_changed"},
    "OneProcessOnly": {"test_a_child_that_is_forked_and_its_parent_both_write"},
    "ClaimsTwice": {"test_what_is_claimed_is_claimed_by_nobody_else_until_the_lease_ends"},
    "ReadsOthers": {"test_an_organisation_reads_its_own_events_alone"},
    "CountsOneTooMany": {"test_every_figure_is_what_plain_python_says"},
    "ErasesTooMuch": {"test_the_events_of_a_user_go_with_their_deliveries_and_nothing_else"},
    "ByTheBeginning": {"test_credentials_that_are_changed_a_little_are_nobodys"},
    "LetsEverybodyIn": {"test_nobody_is_let_in_without_credentials", "test_who_is_unknown_is_refused"},
    "TellsTheSecret": {"test_a_name_for_logs_does_not_tell_the_secret"},
    "FallsOver": {"test_nobody_is_let_in_without_credentials"},
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The tests that failed, by class."""
    folder: Path = tmp_path_factory.mktemp("broken")
    (folder / "test_broken.py").write_text(BROKEN)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(
        "from hypothesis import Phase, settings\n"
        "settings.register_profile('quick', max_examples=60, phases=[Phase.generate], database=None)\n"
        "settings.load_profile('quick')\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider", "."],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    found: dict[str, set[str]] = {}
    for name, test in re.findall(r"^FAILED test_broken\.py::Test(\w+)::(\w+)", run.stdout, re.MULTILINE):
        found.setdefault(name, set()).add(test)
    return found


@pytest.mark.parametrize(("name", "tests"), FOUND.items(), ids=FOUND)
def test_what_is_broken_is_found_and_what_is_good_is_not(
    failed: dict[str, set[str]], name: str, tests: set[str]
) -> None:
    assert tests <= failed.get(name, set())
    assert bool(tests) == bool(failed.get(name)), failed.get(name)
