"""The command line in tests: in this process for an application at hand, or as people call it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.hosts.base import Host
from tk_analytics_mw import Analytics
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
    """Run ``tk-analytics words`` in a folder with a module ``shop`` that has ``analytics``, in this process."""
    done = run_here(*words, folder=folder, environment={"TK_ANALYTICS_APP": "shop", **(environment or {})}, stdin=stdin)
    assert done.returncode == expect, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done


def run_here(
    *words: str, folder: Path, environment: Mapping[str, str], stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``tk-analytics words`` in this process: to start another takes longer than what most commands do."""
    with as_if_started(folder, environment):
        result = CliRunner().invoke(main, words, input=_Typed((stdin or "").encode()), prog_name="tk-analytics")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


class _Typed(io.BytesIO):
    """What is typed or piped into a command."""

    name = "<stdin>"


def run_alone(*words: str, folder: Path, expect: int = 0, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """The same as ``run`` in a process of its own, as people do: for each command once."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TK_ANALYTICS_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tk_analytics_mw", *words],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), "TK_ANALYTICS_APP": "shop"},
        capture_output=True,
        input=stdin,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == expect, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done


@contextmanager
def as_if_started(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Have what a process has that starts in a folder: that folder, an environment, and modules of its own.

    What they opened is closed in the end, and they are forgotten.
    """
    known = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [str(folder), *sys.path])
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            yield
        finally:
            for name in set(sys.modules) - known:
                if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == folder:
                    for each in vars(sys.modules.pop(name)).values():
                        if isinstance(each, Analytics):
                            each.close()
