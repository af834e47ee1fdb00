"""Shops in folders of their own, each with its command line, as processes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

APPS = Path(__file__).parent / "apps"
SCRIPTS = Path(sys.executable).parent
PATIENCE = 60  # seconds

Run = subprocess.CompletedProcess[str]


class Shop(ABC):
    """A shop with two durable functions, ``plain`` and ``async``.

    Args:
        folder: for its files.
    """

    line: ClassVar[tuple[str, ...]]
    """Its command line."""
    folder: ClassVar[Path] = APPS
    recording: ClassVar[str]
    """A program that records an order for each session in its arguments, and prints their ids."""

    def __init__(self, folder: Path) -> None:
        storage = f"sqlite:///{folder / 'analytics.db'}"
        self.notes_path = folder / "notes"
        self.environment = {
            **os.environ,
            "PYTHONPATH": f"{self.folder}{os.pathsep}{APPS}",
            "PYTHONWARNINGS": "error",
            "NOTES": str(self.notes_path),
            "SHOP_DATABASE": str(folder / "shop.db"),
            "STORAGE": storage,
            "TK_ANALYTICS_STORAGE": storage,
        }

    def run(self, *command: str, folder: Path | None = None, **environment: str) -> Run:
        """Run a command in the shop's folder."""
        return subprocess.run(
            command,
            cwd=folder or self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def tk(self, *arguments: str, **environment: str) -> Run:
        """Run the shop's command line."""
        return self.run(*self.line, *arguments, **environment)

    def done(self, *arguments: str) -> str:
        """Run the shop's command line, see that it succeeds, and give what it printed."""
        run = self.tk(*arguments)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def counts(self) -> dict[str, Any]:
        """What ``deliveries counts`` says, without what is nothing."""
        found: dict[str, dict[str, Any]] = json.loads(self.done("deliveries", "counts", "--json"))
        return {name: {key: value for key, value in each.items() if value} for name, each in found.items()}

    def record(self, *sessions: str) -> list[str]:
        """Record an order for each session; give the ids."""
        run = self.run(sys.executable, "-c", self.recording, *sessions)
        assert run.returncode == 0, run.stderr
        return run.stdout.split()

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the shop's command line and leave it running."""
        return subprocess.Popen(
            [*self.line, *arguments],
            cwd=self.folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    @abstractmethod
    def notes(self) -> list[str]:
        """What the durable functions did, sorted."""


class Plain(Shop):
    line = (str(SCRIPTS / "tk-analytics"), "--app", "plain_shop:analytics")
    recording = (
        "import sys; from plain_shop import analytics\n"
        "for session in sys.argv[1:]:\n"
        "    print(analytics.record('product ordered', org_id='acme', session_id=session).id)"
    )

    def notes(self) -> list[str]:
        return sorted(self.notes_path.read_text().splitlines()) if self.notes_path.exists() else []


class Flask(Plain):
    line = (str(SCRIPTS / "flask"), "--app", "flask_shop:create_app", "tk-analytics")
    recording = "from flask_shop import create_app; create_app().app_context().push()\n" + Plain.recording.replace(
        "plain_shop", "flask_shop"
    )


class Django(Shop):
    line = (sys.executable, "manage.py", "tk_analytics")
    folder = APPS / "django_project"
    recording = "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\nimport django; django.setup()\n" + (
        Plain.recording.replace("plain_shop", "tk_analytics_mw.django")
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        run = self.run(sys.executable, "manage.py", "migrate", "--run-syncdb", "--verbosity", "0")
        assert run.returncode == 0, run.stderr

    def notes(self) -> list[str]:
        with closing(sqlite3.connect(self.environment["SHOP_DATABASE"])) as connection:
            return sorted(text for (text,) in connection.execute("SELECT text FROM shop_confirmation"))


@pytest.fixture
def plain_shop(tmp_path: Path) -> Shop:
    """A shop without a framework: for what lies behind all three command lines."""
    return Plain(tmp_path)


@pytest.fixture(params=[Plain, Flask, Django], ids=["tk-analytics", "flask", "manage.py"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A shop of each kind."""
    made: Shop = request.param(tmp_path)
    return made
