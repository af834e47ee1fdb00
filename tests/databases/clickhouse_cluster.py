"""A cluster of ClickHouse's: ``python -m tests.databases.clickhouse_cluster PORT FOLDER``.

As :mod:`tests.databases.clickhouse_server`, with two shards for the databases ``shop_1``, ``shop_2``… Both are the one
engine, and their tables are one table, of which each shard sees the half that it would have (a row filter sees to
that). So what is asked of the distributed tables is asked of both shards and put together, by the engine.

What is said ``ON CLUSTER`` is said once, to all rows: for that the table has another name, which the filter does not
know. A replicated table is a plain one, for the engine in process replicates nothing. One statement runs at a time.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.databases.clickhouse_server import Answer, Engine, main
from tk_analytics_mw.storage.clickhouse.schema import LOCAL

NAME: Final = "shards"
"""Of the cluster."""

_SHARD: Final = "<shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>"
_HALF: Final = f"<{LOCAL}><filter>shardNum() IN (0, sipHash64(id) % 2 + 1)</filter></{LOCAL}>"
_WHOLE: Final = "whole"

_CHANGING: Final = ("ALTER", "DELETE", "TRUNCATE")
_ON_CLUSTER: Final = re.compile(r" ON CLUSTER '\w+'")
_REPLICATED: Final = re.compile(r"\bReplicated(\w*MergeTree\()'[^']*', '[^']*'(?:, )?")


class Cluster(Engine):
    """The engine as two shards."""

    config = f"<tcp_port>9000</tcp_port><remote_servers><{NAME}>{_SHARD * 2}</{NAME}></remote_servers>"
    profile = "<use_query_condition_cache>0</use_query_condition_cache>"  # it would take one shard for the other
    rights = ("READ ON REMOTE", "TABLE ENGINE ON Distributed")  # README has CLUSTER too: for what is said so
    databases = "".join(f"<shop_{number}>{_HALF}</shop_{number}>" for number in range(1, 100))

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._turn = threading.Lock()

    def run(self, text: bytes, settings: Mapping[str, str], values: Mapping[str, str], database: str) -> Answer:
        """Execute a statement, when its turn comes."""
        with self._turn:
            return super().run(text, settings, values, database)

    def ask(self, session: Any, text: str, values: Mapping[str, str]) -> Answer:
        """Execute a statement that has its values with it."""
        alone = _REPLICATED.sub(r"\1", _ON_CLUSTER.sub("", text))
        if not alone.lstrip().upper().startswith(_CHANGING):
            return super().ask(session, alone, values)
        session.query(f"RENAME TABLE {LOCAL} TO {_WHOLE}")
        try:
            return super().ask(session, alone.replace(LOCAL, _WHOLE), values)
        finally:
            session.query(f"RENAME TABLE {_WHOLE} TO {LOCAL}")


if __name__ == "__main__":
    main(Cluster)
