"""The command line in tests: in this process for an application at hand, or as people call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tests.hosts.base import Host
from tk_analytics_mw.cli.main import main
from tk_analytics_mw.cli.target import Target

SHOP = """
from tk_analytics_mw import Analytics, PrivateToken, PublicToken

analytics = Analytics(
    storage="sqlite:///analytics.db",
    tokens=[
        PublicToken("pub-1", org_id="acme", domains=["shop.example.com"]),
        PrivateToken("prv-1", org_id="acme"),
        "stored",
    ],
)


@analytics.on("product ordered", durable=True, name="mail")
def mail(event, delivery): ...
"""
"""A module ``shop``, for :func:`run`."""

ROOT = Path(__file__).parents[1]


def invoke(host: Host, *words: str) -> Result:
    """Run a command on the application of ``host``, as a framework's own command line does."""
    result = CliRunner().invoke(main, words, obj=Target(host.analytics.find_parts, lambda: None))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def said(host: Host, *words: str) -> Any:
    """The JSON that a command ends with, which has to go well."""
    result = invoke(host, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def run(
    *words: str, folder: Path, environment: Mapping[str, str] | None = None, expect: int = 0, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``tk-analytics words`` in a process of its own, in a folder with a module ``shop`` that has ``analytics``."""
    script = "from tk_analytics_mw.cli.main import main; main()"
    return _run("-W", "error", "-c", script, *words, folder=folder, environment=environment, expect=expect, stdin=stdin)


def _run(
    *words: str, folder: Path, environment: Mapping[str, str] | None = None, expect: int, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TK_ANALYTICS_")}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), "TK_ANALYTICS_APP": "shop", **(environment or {})},
        capture_output=True,
        input=stdin,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == expect, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done
