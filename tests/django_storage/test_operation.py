"""What an operator and a host's own tests meet: connections, servers that go away, migrations, ``TestCase``."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
import time
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client, TestCase, TransactionTestCase

from tests.databases.mariadb import MariaDB
from tests.databases.postgresql import PostgreSQL
from tests.django_storage.conftest import of_vendor
from tests.django_storage.databases import ALIAS, by_url, database, file, migrated
from tests.hosts.base import EVENTS, PRIVATE, default_options
from tests.hosts.base import an_event as a_body
from tests.hosts.django_faces import OURS, USUAL, DjangoSite
from tk_analytics_mw import ConfigurationError, StorageUnavailable
from tk_analytics_mw.django.storage.models import Event
from tk_analytics_mw.django.storage.opening import open_storage
from tk_analytics_mw.django.storage.storage import DjangoStorage
from tk_analytics_mw.queries import Filter
from tk_analytics_mw.storage.migrations import MigratedStorage
from tk_analytics_mw.testing import an_event

SETTINGS = {"MIDDLEWARE": [OURS, *USUAL], "ROOT_URLCONF": "tests.hosts.django_plain_urls"}


@contextmanager
def a_site() -> Iterator[DjangoSite]:
    """A project whose events are in the database at hand."""
    site = DjangoSite({**default_options(), "storage": f"django://{ALIAS}"}, lambda analytics: None, **SETTINGS)
    try:
        yield site
    finally:
        site.close()


def post() -> Any:
    return Client().post(
        EVENTS, a_body(), content_type="application/json", headers={"authorization": f"Bearer {PRIVATE}"}
    )


def open_now(settings: dict[str, Any]) -> int:
    """How many connections a PostgreSQL server has to this database, but for the one that asks."""
    with database({**settings, "CONN_MAX_AGE": 0}, "asking"), connections["asking"].cursor() as cursor:
        cursor.execute("SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("age", [0, None])
def test_threads_that_end_leave_no_connection_behind(
    postgresql_settings: dict[str, Any], eventually: Any, age: int | None
) -> None:
    eventually(lambda: open_now(postgresql_settings) == 0)
    with database({**postgresql_settings, "CONN_MAX_AGE": age}):
        storage = open_storage(f"django://{ALIAS}", durability="relaxed", commit_timeout=5)
        for number in range(20):
            thread = threading.Thread(target=lambda number=number: storage.write([an_event(number)]))
            thread.start()
            thread.join()
        assert open_now(postgresql_settings) == (0 if age == 0 else 1)
        storage.close()
        eventually(lambda: open_now(postgresql_settings) == 0)


@pytest.mark.parametrize("closes", [DjangoStorage.close, lambda storage: None], ids=["close", "garbage"])
def test_connections_are_closed_in_a_thread_with_an_event_loop_as_well(
    postgresql_settings: dict[str, Any], eventually: Any, closes: Callable[[DjangoStorage], None]
) -> None:
    async def ends(held: list[DjangoStorage]) -> None:
        closes(held.pop())
        gc.collect()

    with database({**postgresql_settings, "CONN_MAX_AGE": None}):
        held = [open_storage(f"django://{ALIAS}", durability="relaxed", commit_timeout=5)]
        held[0].write([an_event(1)])
        assert open_now(postgresql_settings) == 1
        asyncio.run(ends(held))
        eventually(lambda: open_now(postgresql_settings) == 0)


def test_a_server_that_goes_away_is_503_and_comes_back_by_itself(
    postgresql: PostgreSQL, postgresql_settings: dict[str, Any]
) -> None:
    with database(postgresql_settings), a_site():
        first = post()
        assert first.status_code == 200
        postgresql.stop("immediate")
        try:
            for _ in range(2):
                answer = post()
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        finally:
            postgresql.start()
        deadline = time.monotonic() + 5
        while (again := post()).status_code == 503:
            assert time.monotonic() < deadline
        assert again.status_code == 200
        stored = {str(pk) for pk in Event.objects.using(ALIAS).values_list("pk", flat=True)}
        assert {first.json()["id"], again.json()["id"]} <= stored


def test_tables_that_are_not_there_are_503_and_the_log_says_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with database(file(tmp_path / "empty.db")), a_site() as site:
        assert post().status_code == 503
        assert f"manage.py migrate tk_analytics_storage --database {ALIAS}" in caplog.text
        storage: Any = site.analytics.find_parts().storage
        assert isinstance(storage, MigratedStorage)
        assert list(storage.pending()) == ["0001_initial"]
        assert [finding.level for finding in storage.examine()][:2] == ["ok", "error"]
        assert list(storage.migrate()) == ["0001_initial"]
        assert (list(storage.pending()), list(storage.migrate())) == ([], [])
        assert post().status_code == 200
        assert [finding.level for finding in storage.examine()] == ["ok", "warning"], "no write-ahead log"


def test_a_mariadb_whose_texts_are_not_told_apart_is_found_by_the_doctor(mariadb: MariaDB) -> None:
    good, bad = ["ok"], ["ok", "error"]
    for collation, expected in (("utf8mb4_bin", good), ("utf8mb4_general_ci", bad), ("latin1_bin", bad)):
        settings = by_url(mariadb.fresh(migrated=False, collation=collation))
        migrated(settings)
        with database(settings):
            storage: Any = open_storage(f"django://{ALIAS}", durability="full", commit_timeout=5)
            findings = [*storage.examine()]
            assert [finding.level for finding in findings] == expected
            assert all(collation in finding.what for finding in findings[1:])
            assert storage.survey().size > 0
            storage.close()


@pytest.mark.parametrize("auto_field", ["AutoField", "BigAutoField"])
def test_the_migrations_are_those_of_the_models(settings_with: Callable[..., None], auto_field: str) -> None:
    settings_with(DEFAULT_AUTO_FIELD=f"django.db.models.{auto_field}")
    said = io.StringIO()
    call_command("makemigrations", "--check", "--dry-run", stdout=said)
    assert "No changes detected" in said.getvalue()


@pytest.fixture
def settings_with() -> Iterator[Callable[..., None]]:
    """Override settings."""
    from contextlib import ExitStack

    from django.test import override_settings

    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(override_settings(**settings))


def test_a_setting_that_cannot_work_is_refused(settings_with: Callable[..., None]) -> None:
    options = {"durability": "full", "commit_timeout": 5.0}
    with pytest.raises(ConfigurationError, match="DATABASES has no 'orders'; known: default"):
        open_storage("django://orders", **options)
    settings_with(USE_TZ=False)
    with pytest.raises(ConfigurationError, match="USE_TZ"):
        open_storage("django://", **options)


def test_without_its_app_the_storage_says_so(settings_with: Callable[..., None]) -> None:
    settings_with(INSTALLED_APPS=[])
    with pytest.raises(ConfigurationError, match=r"needs \"tk_analytics_mw\.django\.storage\" in INSTALLED_APPS"):
        open_storage("django://", durability="full", commit_timeout=5.0)


def test_the_name_alone_means_the_database_default(settings_with: Callable[..., None]) -> None:
    from tk_analytics_mw import Analytics

    storage = Analytics(storage="django").find_parts().storage
    assert isinstance(storage, DjangoStorage)
    assert storage.alias == "default"


@of_vendor("postgresql")
def test_who_waits_too_long_for_another_writer_gets_503(events_database: str) -> None:
    storage = open_storage(f"django://{ALIAS}", durability="full", commit_timeout=0.2)
    storage.write([an_event(1)])
    with transaction.atomic(using=ALIAS):
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT last FROM tk_analytics_counter FOR UPDATE")
        with pytest.raises(StorageUnavailable, match="lock timeout"):
            storage.write([an_event(2)])
    storage.write([an_event(2)])
    storage.close()


def test_what_is_acknowledged_is_on_disk_whatever_the_hosts_own_commits_are_content_with(
    postgresql_settings: dict[str, Any],
) -> None:
    lazy = {**postgresql_settings, "OPTIONS": {"options": "-c synchronous_commit=off"}}
    for durability, expected in (("full", "on"), ("relaxed", "off")):
        with database(lazy):
            storage = open_storage(f"django://{ALIAS}", durability=durability, commit_timeout=5)
            with storage._connections.writing() as using, connections[using].cursor() as cursor:
                cursor.execute("SHOW synchronous_commit")
                assert cursor.fetchone() == (expected,)
            storage.close()


def test_a_question_that_takes_too_long_is_given_up(events_database: str) -> None:
    from tk_analytics_mw.errors import ReadTooLong

    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    if events_database == "mariadb":  # which ends that after a thousand rows
        endless = "SELECT SLEEP(60)"
    storage = open_storage(f"django://{ALIAS}", durability="full", commit_timeout=5)
    with (
        pytest.raises(ReadTooLong),
        storage._connections.reading(0.3) as using,
        connections[using].cursor() as cursor,
    ):
        cursor.execute(endless)
    storage.write([an_event(1)])
    assert storage.reader.count(Filter("acme")).events == 1
    storage.close()


def test_a_tests_transaction_holds_its_events_too(
    events_database: str,
) -> None:
    """``TestCase`` rolls back what a test stored, as it does with everything else."""
    with a_site():
        assert run(TestCase) == []
        assert Event.objects.using(ALIAS).count() == 0
        assert post().status_code == 200
        assert Event.objects.using(ALIAS).count() == 1


@pytest.mark.parametrize("kind", [TestCase, TransactionTestCase])
def test_a_projects_own_tests_may_have_their_database_in_memory(
    kind: type[TransactionTestCase],
) -> None:
    with database({**file(Path()), "NAME": "file:memorydb_events?mode=memory&cache=shared"}), a_site():
        call_command("migrate", "tk_analytics_storage", database=ALIAS, verbosity=0)
        assert run(kind) == []
        assert Event.objects.using(ALIAS).count() == 0
        connections[ALIAS].connection.close()


def run(base: type[TransactionTestCase]) -> list[Any]:
    """Run a project's own test; give what went wrong."""

    class Test(base):  # type: ignore[misc, valid-type]
        databases = frozenset({ALIAS})

        def test_an_event_is_stored(self) -> None:
            from tk_analytics_mw.django import analytics

            answer = post()
            assert answer.status_code == 200
            analytics.record("product ordered", org_id="acme", session_id="s-1")
            with transaction.atomic(using=ALIAS):
                analytics.record("product ordered", using=ALIAS, org_id="acme", session_id="s-1")
            assert Event.objects.using(ALIAS).count() == 3
            read = Client().get(EVENTS, headers={"authorization": f"Bearer {PRIVATE}"})
            assert read.json()["count"] == 3

        test_it_again_with_nothing_left_behind = test_an_event_is_stored

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Test).run(result)
    assert result.testsRun == 2
    return [*result.errors, *result.failures]
