"""What an operator does. Each command is started once as a process."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.commands import ROOT, SHOP, as_if_started, run, run_alone
from tk_analytics_mw.cli.main import COMMANDS, main
from tk_analytics_mw.identifiers import time_of


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The folder of a shop whose module ``shop`` has ``analytics``."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.fixture
def events(shop: Path) -> Path:
    """A file of create bodies: three of them, and an empty line."""
    file = shop / "events.ndjson"
    file.write_text(
        '{"eventType": "produce cart-add", "orgId": "acme", "sessionId": "s-1", "assetId": "chair", "userId": "jane"}\n'
        '{"eventType": "product ordered", "sessionId": "s-1", "createdAt": "2026-01-02T03:04:05.678Z", "metric": 2.5}\n'
        "\n"
        '{"eventType": "product ordered", "orgId": "rival", "sessionId": "s-9", "id": "e-1", '
        '"createdAt": "2026-01-02T03:04:05Z"}\n'
    )
    return file


def rows(shop: Path, select: str = "SELECT id FROM events ORDER BY id") -> list[Any]:
    with closing(sqlite3.connect(shop / "analytics.db")) as connection:
        return [row[0] if len(row) == 1 else row for row in connection.execute(select)]


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_says_what_it_does(command: Any) -> None:
    assert command.help
    assert CliRunner().invoke(main, [str(command.name), "--help"]).exit_code == 0


def test_import_stores_what_is_an_event_once(shop: Path, events: Path) -> None:
    for _ in range(2):
        done = run_alone("import", "events.ndjson", "--org", "acme", "--json", folder=shop)
        assert json.loads(done.stdout) == {"events": 3, "wrong": 0}
    assert len(rows(shop)) == 3
    for id_, created_at in rows(shop, "SELECT id, created_at FROM events"):
        assert time_of(id_) == datetime.fromisoformat(created_at.replace("Z", "+00:00"))
    assert rows(shop, "SELECT count(*) FROM deliveries") == [0], "hooks are for what happens now"


def test_import_goes_on_where_it_broke_off_and_when_the_file_grows(shop: Path, events: Path) -> None:
    text = events.read_text()
    run("import", "-", "--org", "acme", folder=shop, stdin=text[: text.index("\n") + 1])
    assert len(rows(shop)) == 1
    run("import", "-", "--org", "acme", folder=shop, stdin=text)
    assert len(rows(shop)) == 3
    again = '{"eventType": "product ordered", "sessionId": "s-2"}\n'
    run("import", "-", "--org", "acme", folder=shop, stdin=text + again + again)
    assert len(rows(shop)) == 5, "two equal lines are two events"


def test_import_tells_of_lines_that_are_no_events_and_never_what_is_in_them(shop: Path) -> None:
    wrong = '{"eventType": "s3cr3t"}\n[1]\nnothing\n{"eventType": "product ordered", "orgId": "a", "sessionId": " "}\n'
    late = '{"eventType": "product ordered", "orgId": "a", "sessionId": "b", "createdAt": "s3cr3t"}\n'
    good = '{"eventType": "product ordered", "orgId": "a", "sessionId": "b"}\n'
    done = run("import", "-", "--json", folder=shop, stdin=wrong + late + good, expect=1)
    assert json.loads(done.stdout) == {"events": 1, "wrong": 5}
    assert [line.split(":")[0] for line in done.stderr.splitlines() if line.startswith("line")] == [
        f"line {number}" for number in range(1, 6)
    ]
    assert "s3cr3t" not in done.stdout + done.stderr


def test_an_export_comes_back_as_it_was(shop: Path, events: Path) -> None:
    run("import", "events.ndjson", "--org", "acme", folder=shop)
    agent = (
        '{"eventType": "product ordered", "orgId": "acme", "sessionId": "s-2", '
        '"configuration": {"a": [1, 2.5e-7, null]}, '
        '"deviceType": "pc", "deviceFamily": "Other", "system": "Windows 10", "browser": "Firefox 140.0", '
        '"userAgent": "Mozilla/5.0", "metric": 0.30000000000000004, "referer": "https://shop.example.com/ü"}\n'
    )
    run("import", "-", folder=shop, stdin=agent)
    run_alone("export", "-o", "first.ndjson", folder=shop)
    first = (shop / "first.ndjson").read_bytes()
    assert [event["orgId"] for event in lines(first.decode())] == ["acme", "acme", "acme", "rival"]
    columns = "id, created_at, event_type, org_id, session_id, metric, device_type, device_family, system, browser"
    before = rows(shop, f"SELECT {columns}, user_agent, configuration FROM events ORDER BY id")
    assert "Windows 10" in str(before)
    (shop / "analytics.db").unlink()
    run("import", "first.ndjson", folder=shop)
    run("export", "-o", "second.ndjson", folder=shop)
    assert (shop / "second.ndjson").read_bytes() == first
    assert rows(shop, f"SELECT {columns}, user_agent, configuration FROM events ORDER BY id") == before


def test_export_filters_and_writes_files(shop: Path, events: Path) -> None:
    run("import", "events.ndjson", "--org", "acme", folder=shop)
    assert len(lines(run("export", "--type", "production ordered", folder=shop).stdout)) == 2
    assert len(lines(run("export", "--since", "1h", folder=shop).stdout)) == 1
    assert lines(run("export", "--user", "joe", folder=shop).stdout) == []
    run("export", "--format", "csv", "--org", "acme", "-o", "out.csv", folder=shop)
    table = list(csv.DictReader(io.StringIO((shop / "out.csv").read_text())))
    assert [row["eventType"] for row in table] == ["product cart-add", "product ordered"]
    assert "several organisations" in run("export", "--format", "csv", folder=shop, expect=2).stderr
    assert "no event type" in run("export", "--type", "nope", folder=shop, expect=1).stderr


def test_stats_count_what_is_there(shop: Path, events: Path) -> None:
    assert json.loads(run_alone("stats", "--json", folder=shop).stdout)["events"] == 0
    run("import", "events.ndjson", "--org", "acme", folder=shop)
    found = json.loads(run("stats", "--json", folder=shop).stdout)
    assert found["byOrganisation"] == {
        "acme": {"product cart-add": 1, "product ordered": 1},
        "rival": {"product ordered": 1},
    }
    assert (found["events"], found["last24Hours"]) == (3, 1)
    assert found["oldest"].startswith("2026-01-02T03:04:05")
    assert "3 events" in run("stats", folder=shop).stdout


def test_rebuild_counts_again_what_somebody_changed_by_hand(shop: Path, events: Path) -> None:
    run("import", "events.ndjson", "--org", "acme", folder=shop)
    assert "seconds" in json.loads(run_alone("rebuild", "--json", folder=shop).stdout)
    counted = "SELECT org_id, day, sum(events) FROM day_totals GROUP BY org_id, day ORDER BY 1, 2"
    before = rows(shop, counted)
    assert ("acme", "2026-01-02", 1) in before
    with closing(sqlite3.connect(shop / "analytics.db")) as connection, connection:
        connection.execute("UPDATE day_totals SET events = 99")
    assert rows(shop, counted) != before
    assert "counted again" in run("rebuild", folder=shop).stdout
    assert rows(shop, counted) == before


def test_erase_reports_what_went_and_asks_which_organisation(shop: Path) -> None:
    with as_if_started(shop, {}):
        analytics = importlib.import_module("shop").analytics
        for org_id in ("acme", "rival"):
            for number in range(3):
                analytics.record("product ordered", org_id=org_id, session_id=f"s-{number}", user_id="jane")
    assert "acme, rival" in run("erase", "--user", "jane", folder=shop, expect=2).stderr
    done = run_alone("erase", "--user", "jane", "--org", "acme", "--json", folder=shop)
    assert json.loads(done.stdout) == {"events": 3, "deliveries": 3, "logTruncated": True}
    done = run("erase", "--user", "jane", "--org", "acme", "--json", folder=shop)
    assert json.loads(done.stdout) == {"events": 0, "deliveries": 0, "logTruncated": True}
    assert "1 events and 1 deliveries" in run("erase", "--session", "s-1", folder=shop).stdout
    assert len(rows(shop)) == 2
    run("erase", folder=shop, expect=2)
    run("erase", "--user", "a", "--session", "b", folder=shop, expect=2)


def test_purge_removes_what_is_older(shop: Path, events: Path) -> None:
    run("import", "events.ndjson", "--org", "acme", folder=shop)
    days = (datetime.now(timezone.utc) - datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)) // timedelta(days=1)
    assert json.loads(run_alone("purge", "--older-than", f"{days + 1}d", "--json", folder=shop).stdout)["events"] == 0
    assert "2 events" in run("purge", "--older-than", f"{days}d", folder=shop).stdout
    assert len(rows(shop)) == 1
    assert json.loads(run("stats", "--json", folder=shop).stdout)["events"] == 1, "the figures know"
    run("purge", folder=shop, expect=2)
    run("purge", "--older-than", "30", folder=shop, expect=2)


def test_a_backup_is_one_file_for_its_owner(shop: Path, events: Path) -> None:
    run("import", "events.ndjson", "--org", "acme", folder=shop)
    report = json.loads(run("backup", "copy.db", "--json", folder=shop).stdout)
    copy = shop / "copy.db"
    assert (report["file"], report["bytes"]) == ("copy.db", copy.stat().st_size)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (3,)
    before = copy.read_bytes()
    assert "is there already" in run("backup", "copy.db", folder=shop, expect=1).stderr
    assert copy.read_bytes() == before
    run("backup", "nowhere/copy.db", folder=shop, expect=1)
    assert sorted(path.name for path in shop.glob("copy*")) == ["copy.db"]


def test_a_token_is_shown_once_and_alone(shop: Path) -> None:
    done = run_alone("token", "create", "--private", "--org", "acme", folder=shop)
    assert done.stdout.startswith("tka_prv_")
    assert len(done.stdout.split()) == 1
    listed = run("token", "list", "--json", folder=shop).stdout
    assert done.stdout.strip() not in listed
    [token] = lines(listed)
    assert run("token", "revoke", token["id"], folder=shop).stdout == "1 revoked\n"
    assert run("token", "list", folder=shop).stdout == ""
    assert "revoked" in run("token", "list", "--all", folder=shop).stdout
    run("token", "revoke", "nobody", folder=shop, expect=1)
    run("token", "rotate", token["id"], folder=shop, expect=1)


@pytest.mark.parametrize(
    "options",
    [
        ("--org", "acme"),
        ("--public", "--org", "acme"),
        ("--private", "--org", "acme", "--domain", "shop.example.com"),
        ("--private", "--org", " "),
        ("--private", "--org", "acme", "--expires", "2020-01-01"),
        ("--private", "--org", "acme", "--expires", "soon"),
        ("--private",),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(shop: Path, options: tuple[str, ...]) -> None:
    run("token", "create", *options, folder=shop, expect=2)
    assert run("token", "list", folder=shop).stdout == ""


def test_a_token_with_a_domain_that_is_none_is_not_made(shop: Path) -> None:
    run("token", "create", "--public", "--org", "acme", "--domain", "https://a/b", folder=shop, expect=1)


def test_openapi_is_the_one_of_the_api(shop: Path) -> None:
    found = json.loads(run_alone("openapi", folder=shop).stdout)
    assert found["servers"] == [{"url": "/api/analytics"}]
    assert "/refusals" in found["paths"]


def test_refusals_are_counted_over_processes(shop: Path) -> None:
    script = (
        "from shop import analytics; from wsgiref.util import setup_testing_defaults as d; e = {}; d(e);"
        "e.update(PATH_INFO='/api/analytics/events', REQUEST_METHOD='POST', HTTP_ORIGIN='https://foreign.example',"
        "QUERY_STRING='bearer_token=pub-1'); list(analytics.wsgi()(e, lambda *a: None)); analytics.close()"
    )
    for _ in range(2):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", script], cwd=shop, env=environment, check=True, capture_output=True)
    found = json.loads(run_alone("refusals", "--json", folder=shop).stdout)
    [counted] = found["counts"]
    assert (counted["reason"], counted["origin"], counted["count"]) == (
        "domain not allowed",
        "https://foreign.example",
        2,
    )
    assert len(found["samples"]) == 2
    assert "domain not allowed" in run("refusals", folder=shop).stdout


def test_tail_shows_new_events_as_they_come(shop: Path, events: Path) -> None:
    run("import", "events.ndjson", "--org", "acme", folder=shop)
    assert len(lines(run("tail", "--no-follow", "--json", folder=shop).stdout)) == 3
    assert [
        event["eventType"] for event in lines(run("tail", "--no-follow", "--json", "-n", "1", folder=shop).stdout)
    ] == ["product cart-add"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TK_ANALYTICS_APP": "shop"}
    command = [sys.executable, "-m", "tk_analytics_mw", "tail", "-n", "0", "--json", "--session", "s-new"]
    with subprocess.Popen(
        command, cwd=shop, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tail:
        try:
            assert tail.stdout is not None
            body = '{"eventType": "product ordered", "orgId": "acme", "sessionId": "%s"}\n'
            text = "".join(body % name for name in ("s-other", "s-new"))
            deadline = time.monotonic() + 60
            number = 0
            os.set_blocking(tail.stdout.fileno(), False)
            line = ""
            while not line:
                assert time.monotonic() < deadline
                number += 1  # it may not be there yet: send until it says something
                run("import", "-", folder=shop, stdin=text * number)
                time.sleep(0.1)
                line = tail.stdout.readline()
            assert json.loads(line)["sessionId"] == "s-new"
        finally:
            tail.kill()


def test_what_a_client_wrote_does_not_move_the_cursor(shop: Path) -> None:
    body = json.dumps({"eventType": "product ordered", "orgId": "acme", "sessionId": "s\x1b[2J\n1"})
    run("import", "-", folder=shop, stdin=body)
    shown = run("tail", "--no-follow", folder=shop).stdout
    assert "\x1b[2J" not in shown
    assert len(shown.splitlines()) == 1


def test_no_application_and_a_wrong_one_are_told(shop: Path) -> None:
    for app in ("nowhere", "shop:nothing", "json:dumps"):
        assert "--app" in run("stats", "--app", app, folder=shop, expect=2).stderr
    assert "Which application" in run("stats", folder=shop, environment={"TK_ANALYTICS_APP": ""}, expect=2).stderr
