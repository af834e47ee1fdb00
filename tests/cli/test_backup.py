"""A backup while several processes write: it ends, it is sound, and what was acknowledged before it began is in it."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.commands import run_alone
from tests.servers.running import GUNICORN_THREADS, Load, integrity, running, stored_ids

SHOP = 'from tk_analytics_mw import Analytics\nanalytics = Analytics(storage="sqlite:///analytics.db")\n'


def test_a_backup_under_load_is_consistent_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    with running(GUNICORN_THREADS, tmp_path) as server, Load(server) as load:
        load.wait_for(500)
        before = set(load.acknowledged)
        run_alone("backup", "copy.db", folder=tmp_path)
        load.wait_for(len(load.acknowledged) + 100)
    copy = tmp_path / "copy.db"
    assert integrity(copy) == "ok"
    copied = set(stored_ids(copy))
    assert before <= copied
    assert copied < set(stored_ids(tmp_path / "analytics.db")), "writers went on"
    assert set(load.statuses) == {200}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
