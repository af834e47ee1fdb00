"""The client that is published on npm, driven from Node against real servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.base import PRIVATE
from tests.servers.running import ROOT
from tests.serving import serving

PACKAGE = "@threekit/rest-api@0.2.2"
ORGANISATION = "0d0f8f3c-0c54-4f5e-9c1a-3f1f1b2b9a10"
SCRIPT = Path(__file__).with_name("published.mjs")

SERVERS = {
    "uvicorn": ("uvicorn", "--port", "{port}", "--log-level", "warning", "tests.clients.shop:asgi"),
    "gunicorn": ("gunicorn", "--bind", "127.0.0.1:{port}", "tests.clients.shop:wsgi"),
}


def missing(why: str) -> None:
    # Where the whole suite has to pass, a test that does not run is one that fails.
    (pytest.fail if os.environ.get("REQUIRE_NODE") else pytest.skip)(why)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client in its ``node_modules``."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        missing("npm and node are needed to drive the published client")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    command = [str(npm), "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        missing(f"npm cannot install {PACKAGE}: {done.stderr[-500:]}")
    return folder


@pytest.mark.parametrize("server", SERVERS)
def test_the_published_client_reads_what_it_created(packages: Path, tmp_path: Path, server: str) -> None:
    environment = {"SHOP_DATABASE": str(tmp_path / "analytics.db"), "PYTHONPATH": str(ROOT)}
    with serving(*SERVERS[server], folder=ROOT, environment=environment) as (host, port):
        arguments = [f"http://{host}:{port}", PRIVATE, ORGANISATION]
        done = subprocess.run(
            ["node", "--input-type=module", "-", *arguments],
            cwd=packages,
            input=SCRIPT.read_text(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    first, second, third = said["created"]
    assert said["healthy"] is True
    assert (said["byId"]["id"], said["byId"]["metric"]) == (second, 2)
    assert said["byId"]["eventMetadata"] == {"size": 200, "colour": "red"}
    page = said["page"]
    assert (page["page"], page["perPage"], page["sort"]) == (1, 2, "createdAt")
    assert [event["id"] for event in page["events"]] == [first, second]
    assert said["all"] == [third, second, first]
    assert said["byMetadata"] == [second]
    assert said["byDevice"] == [third]
    assert said["byReferer"] == [third, second, first]
    assert sum(month["views"] for month in said["views"]) == 1
    assert all({*month} == {"year", "month", "views", "cumulative"} for month in said["views"])
    assert said["missing"] == 404
    assert said["refused"] == [422, ["query", "metadata"]]
    assert said["foreign"] == 403
