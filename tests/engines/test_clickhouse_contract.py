"""The contract, its creates and its reads, with the events in ClickHouse: the same tests that every face passes."""

from __future__ import annotations

import pytest

pytest.importorskip("chdb", reason="ClickHouse's engine has no wheel for this Python")
pytest.importorskip("clickhouse_connect")

from tests.contract.test_create import *  # noqa: E402, F403
from tests.contract.test_create import test_the_database_file_belongs_to_its_owner_alone  # noqa: E402
from tests.contract.test_idempotency import *  # noqa: E402, F403
from tests.contract.test_reads import *  # noqa: E402, F403
from tests.contract.test_sessions import *  # noqa: E402, F403

del test_the_database_file_belongs_to_its_owner_alone  # that of SQLite
