"""Whole projects: the admin's page of events, the commands, and what the README shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(project: str, folder: Path, **environment: str) -> str:
    """Run a project that looks at itself. Give what it says."""
    script = Path(__file__).with_name(project)
    ended = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("environment", [{}, {"TK_ANALYTICS_STORAGE": "django"}], ids=["settings", "environment"])
def test_the_readmes_order_and_its_event_are_kept_both_or_neither(tmp_path: Path, environment: dict[str, str]) -> None:
    run("readme_shop.py", tmp_path, **environment)


def test_the_staff_looks_at_events_and_changes_none(tmp_path: Path) -> None:
    said = run("back_office.py", tmp_path)
    assert json.loads(said.splitlines()[-1]) == {
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
