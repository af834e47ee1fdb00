"""The contract with the events in ClickHouse (in process, over HTTP, in a cluster): tests that every face passes."""

from __future__ import annotations

import pytest

pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
pytest.importorskip("clickhouse_connect")

from tests.contract.test_batch import *  # noqa: F403
from tests.contract.test_create import *  # noqa: F403
from tests.contract.test_create import test_the_database_file_belongs_to_its_owner_alone
from tests.contract.test_export import *  # noqa: F403
from tests.contract.test_figures import *  # noqa: F403
from tests.contract.test_idempotency import *  # noqa: F403
from tests.contract.test_reads import *  # noqa: F403
from tests.contract.test_sessions import *  # noqa: F403
from tests.engines.hosts import HOSTS  # noqa: F401 - whom the tests ask for

del test_the_database_file_belongs_to_its_owner_alone  # that of SQLite
