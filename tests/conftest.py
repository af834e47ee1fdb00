"""Hosts for every test that asks for one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.disk import use_memory
from tests.hosts import FACES
from tests.hosts.base import Host, Register, default_options
from tests.hosts.django_faces import DjangoStored, configure_django
from tests.hosts.postgresql_face import FlaskOnPostgreSQL

if TYPE_CHECKING:
    from tests.databases.clickhouse import ClickHouse
    from tests.databases.mariadb import MariaDB
    from tests.databases.postgresql import PostgreSQL

configure_django()
use_memory()


STORING = {"test_batch", "test_create", "test_export", "test_figures", "test_hooks", "test_idempotency"}
STORING |= {"test_organisations", "test_reads", "test_refusals", "test_sessions", "test_stored_tokens"}


class MakeHost(Protocol):
    """Makes a host of the face at hand."""

    def __call__(self, *, register: Register = ..., **options: Any) -> Host: ...


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TK_ANALYTICS_"):
            monkeypatch.delenv(name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What stores and reads is tested with Django's own database as well, and with PostgreSQL."""
    if "make_host" in metafunc.fixturenames:
        storing = metafunc.module.__name__.rpartition(".")[2] in STORING
        faces = [*FACES, DjangoStored, FlaskOnPostgreSQL] if storing else FACES
        faces = getattr(metafunc.module, "HOSTS", faces)  # a module may have hosts of its own
        metafunc.parametrize("make_host", faces, indirect=True, ids=lambda face: face.face)


@pytest.fixture
def make_host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeHost]:
    """Make hosts, each with a database of its own. They are closed in the end, the last one first."""
    with ExitStack() as hosts:

        def make(*, register: Register = lambda analytics: None, **options: Any) -> Host:
            number = len(list(tmp_path.glob("host-*")))
            directory = tmp_path / f"host-{number}"
            directory.mkdir()
            if request.param.server is not None:
                server: PostgreSQL | ClickHouse = request.getfixturevalue(request.param.server)
                options = {"storage": server.fresh() if number else server.emptied(), **options}
            host: Host = request.param(directory / "analytics.db", {**default_options(), **options}, register)
            hosts.callback(host.close)
            return host

        yield make


@pytest.fixture
def host(make_host: MakeHost) -> Host:
    """A host with the default tokens and no hooks."""
    return make_host()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server of this test process. Each test takes a database of its own from it."""
    from tests.databases.postgresql import PostgreSQL

    server = PostgreSQL()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server of this test process, in the same way."""
    from tests.databases.mariadb import MariaDB

    server = MariaDB()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[ClickHouse]:
    """ClickHouse behind HTTP, in the same way."""
    from tests.databases.clickhouse import ClickHouse

    server = ClickHouse()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def clickhouse_cluster() -> Iterator[ClickHouse]:
    """A cluster of ClickHouse's, in the same way."""
    from tests.databases.clickhouse import ClickHouseCluster

    server = ClickHouseCluster()
    yield server
    server.remove()


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait until something is true, half a minute at most."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.005)

    return wait
