"""The admin's page of events, and the commands, in a project with a database for its events alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_staff_looks_at_events_and_changes_none(tmp_path: Path) -> None:
    script = Path(__file__).with_name("back_office.py")
    run = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == {
        "all": ["s-2", "s-1", "s-0"],
        "type": ["s-2", "s-1"],
        "organisation": ["s-2"],
        "device": [],
        "session": ["s-0"],
        "user": ["s-1"],
        "part": [],
        "day": ["s-2", "s-1", "s-0"],
        "other_day": [],
        "stats": {"acme": {"product cart-add": 1, "product ordered": 1}, "rival": {"product ordered": 1}},
        "left": 2,
    }
