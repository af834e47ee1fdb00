"""What the tests of this folder make: events, and scripts that run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tk_analytics_mw import Event, testing

ROOT = Path(__file__).resolve().parents[2]


def an_event(id_: str = "e-1", **fields: Any) -> Event:
    """A stored event, whose id says what the test wants to say of it."""
    return testing.an_event(id_, **fields)


def run_script(script: str, *options: str, cwd: Path | None = None) -> str:
    """Run a script with this interpreter and give what it printed. It has to end well, within a minute."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TK_ANALYTICS_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", textwrap.dedent(script)],
        cwd=cwd or ROOT,
        env={**clean, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
