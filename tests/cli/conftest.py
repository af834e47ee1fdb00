"""Shops in folders of their own, each with its command line."""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.commands import as_if_started, run_here
from tk_analytics_mw import Analytics

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
    def record(self, *sessions: str) -> list[str]:
        """Record an order for each session; give the ids."""

    @abstractmethod
    def notes(self) -> list[str]:
        """What the durable functions did, sorted."""


class Plain(Shop):
    line = (str(SCRIPTS / "tk-analytics"), "--app", "plain_shop:analytics")

    def here(self, *words: str, **environment: str) -> Run:
        """Run ``tk-analytics words`` in this process."""
        return run_here(*words, folder=self.folder, environment={**self.environment, **environment})

    def record(self, *sessions: str) -> list[str]:
        with as_if_started(self.folder, self.environment):
            return _record(importlib.import_module("plain_shop").analytics, sessions)

    def notes(self) -> list[str]:
        return sorted(self.notes_path.read_text().splitlines()) if self.notes_path.exists() else []


class PlainHere(Plain):
    """All of its commands in this process."""

    def tk(self, *arguments: str, **environment: str) -> Run:
        return self.here(*self.line[1:], *arguments, **environment)


class Flask(Plain):
    line = (str(SCRIPTS / "flask"), "--app", "flask_shop:create_app", "tk-analytics")

    def record(self, *sessions: str) -> list[str]:
        with as_if_started(self.folder, self.environment):
            shop = importlib.import_module("flask_shop")
            with shop.create_app().app_context(), closing(shop.analytics):
                return _record(shop.analytics, sessions)


class Django(Shop):
    line = (sys.executable, "manage.py", "tk_analytics")
    folder = APPS / "django_project"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        run = self.run(sys.executable, "manage.py", "migrate", "--run-syncdb", "--verbosity", "0")
        assert run.returncode == 0, run.stderr

    def record(self, *sessions: str) -> list[str]:
        run = self.run(sys.executable, "-c", RECORDING, *sessions)  # this process has another Django project
        assert run.returncode == 0, run.stderr
        return run.stdout.split()

    def notes(self) -> list[str]:
        with closing(sqlite3.connect(self.environment["SHOP_DATABASE"])) as connection:
            return sorted(text for (text,) in connection.execute("SELECT text FROM shop_confirmation"))


RECORDING = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
import django
django.setup()
from tk_analytics_mw.django import analytics
for session in sys.argv[1:]:
    print(analytics.record("product ordered", org_id="acme", session_id=session).id)
"""


def _record(analytics: Analytics, sessions: Sequence[str]) -> list[str]:
    return [analytics.record("product ordered", org_id="acme", session_id=session).id for session in sessions]


@pytest.fixture
def plain_shop(tmp_path: Path) -> Shop:
    """A shop without a framework: for what lies behind all three command lines."""
    return PlainHere(tmp_path)


@pytest.fixture(params=[Plain, Flask, Django], ids=["tk-analytics", "flask", "manage.py"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A shop of each kind."""
    made: Shop = request.param(tmp_path)
    return made
