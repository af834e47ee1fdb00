"""``doctor``: each thing that can be wrong is found, and it is told what to do."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Shop
from tests.commands import SHOP, invoke, run, said
from tests.hosts.base import Host
from tk_analytics_mw import Analytics, Drop, PrivateToken, PublicToken
from tk_analytics_mw.cli import checks
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.sqlite import examination

NOW = datetime.now(timezone.utc)


def findings(host: Host, *options: str) -> list[dict[str, Any]]:
    result = invoke(host, "doctor", "--json", *options)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == any(each["level"] == "error" for each in found)
    assert all(each["advice"] for each in found if each["level"] == "error"), found
    return found


def found(host: Host, level: str, what: str, *options: str) -> bool:
    return any(each["level"] == level and what in each["what"] for each in findings(host, *options))


def test_an_event_goes_through_every_face_and_leaves_nothing(make_host) -> None:
    seen: list[str] = []
    host = make_host(register=lambda analytics: analytics.on()(lambda event: seen.append(event.org_id)))
    assert found(host, "ok", "to the disk and back")
    assert seen == ["tk-analytics-doctor"]
    assert host.rows() == []
    assert said(host, "stats")["events"] == 0


def test_what_before_store_drops_is_told(tmp_path: Path) -> None:
    host = Bare(tmp_path)

    @host.analytics.before_store
    def nothing(event: Any) -> None:
        raise Drop("nothing")

    assert found(host, "warning", "is not stored")  # type: ignore[arg-type]


class Bare:
    """An ``Analytics`` that no framework has."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.database = folder / "analytics.db"
        private = [PrivateToken("prv-1", org_id="acme")]
        self.analytics = Analytics(**{"storage": f"sqlite:///{self.database}", "tokens": private, **options})


@pytest.mark.parametrize(
    ("options", "level", "what"),
    [
        ({"tokens": []}, "error", "nobody can create events"),
        ({}, "warning", "no public token"),
        ({"tokens": [PublicToken("a", org_id="acme", domains=["localhost:5000"])]}, "warning", "this machine only"),
        (
            {"tokens": [PrivateToken("a", org_id="acme", name="back", expires_at=NOW + timedelta(days=3))]},
            "warning",
            "the token back ends on",
        ),
        ({"tokens": [PrivateToken("a", org_id="acme", expires_at=NOW - timedelta(days=3))]}, "error", "nobody"),
        ({}, "warning", "ad blockers know /api/analytics/"),
        ({"aliases": ["/analytics/events"]}, "warning", "ad blockers know /api/analytics/, /analytics/events/"),
        ({"aliases": ["/shop-signals"]}, "ok", "let your pages use that"),
        ({"prefix": "/shop-signals"}, "ok", "do not know /shop-signals/"),
        ({"durability": "relaxed"}, "warning", "power cut"),
    ],
)
def test_settings_that_are_not_as_they_should_be_are_found(
    tmp_path: Path, options: dict[str, Any], level: str, what: str
) -> None:
    assert found(Bare(tmp_path, **options), level, what, "--no-event")  # type: ignore[arg-type]


def test_deliveries_without_a_function_and_functions_without_deliveries_are_found(tmp_path: Path) -> None:
    host: Any = Bare(tmp_path)
    host.analytics.on(durable=True, name="mail")(lambda event, delivery: None)
    assert found(host, "warning", "'mail' has never been delivered to", "--no-event")
    storage = host.analytics.find_parts().storage
    event = host.analytics.record("product ordered", org_id="acme", session_id="s-1")
    storage.outbox.enroll(Subscription("stock"), now=0.0)
    storage.write([event.replace(metric=2)], [Subscription("stock")])
    with closing(sqlite3.connect(host.database)) as connection, connection:
        connection.execute("INSERT INTO deliveries (name, position, event_id) SELECT 'stock', position, id FROM events")
    assert found(host, "error", "wait for 'stock'", "--no-event")
    storage.outbox.enroll(host.analytics.hooks.subscriptions[0], now=0.0)
    storage.outbox.switch("mail", off="the receiver said 410")
    assert found(host, "error", "'mail' is switched off: the receiver said 410", "--no-event")
    assert found(host, "ok", "'mail': 1 pending (0 failed before), the oldest of", "--no-event")


def test_a_file_for_everybody_a_full_disk_and_a_wrong_clock_are_found(tmp_path: Path, monkeypatch) -> None:
    host: Any = Bare(tmp_path)
    host.analytics.record("product ordered", org_id="acme", session_id="s-1")
    assert found(host, "ok", "its user's alone", "--no-event")
    host.database.chmod(0o644)
    assert found(host, "warning", "mode 0644", "--no-event")
    monkeypatch.setattr(examination, "LOW", 1 << 62)
    assert found(host, "warning", "are free", "--no-event")
    monkeypatch.setattr(examination, "FULL", 1 << 62)
    assert found(host, "error", "are free", "--no-event")
    with closing(sqlite3.connect(host.database)) as connection, connection:
        connection.execute("UPDATE events SET id = '1' || substr(id, 2)")
    assert found(host, "error", "the clock shows", "--no-event")


@pytest.mark.parametrize(
    ("directory", "kind"),
    [("/", "ext4"), ("/srv/shop", "nfs4"), ("/srv/shopping", "ext4"), ("/mnt/a b/c", "cifs"), ("/srv/shop/x/y", "xfs")],
)
def test_the_kind_of_file_system_is_that_of_the_nearest_mount(tmp_path: Path, directory: str, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "22 21 0:40 / /srv/shop rw,relatime shared:2 - nfs4 server:/export rw\n"
        "23 22 8:2 / /srv/shop/x rw - xfs /dev/sdb rw\n"
        "24 21 0:41 / /mnt/a\\040b rw - cifs //server/share rw\n"
    )
    assert examination._kind_of(Path(directory), mounts) == kind
    assert examination._kind_of(Path(directory), tmp_path / "nothing") == ""


def test_rules_of_ad_blockers_are_looked_for_in_the_whole_address() -> None:
    assert checks._blocked("/API/Analytics/")
    assert not checks._blocked("/shop/a/")


def test_an_application_without_the_api_is_found(tmp_path: Path) -> None:
    shop = tmp_path
    (shop / "shop.py").write_text(SHOP)
    (shop / "apps.py").write_text(
        "from flask import Flask\nfrom fastapi import FastAPI\nfrom shop import analytics\n"
        "flask, empty, fastapi, other = Flask('a'), Flask('b'), FastAPI(), FastAPI()\n"
        "analytics.init_app(flask)\nanalytics.install(fastapi)\n"
        "def broken(environ, start_response): raise RuntimeError('no')\n"
    )
    for app in ("apps:flask", "apps:fastapi"):
        assert "to the disk and back" in run("doctor", "--app", app, folder=shop).stdout
    for app, told in (("apps:empty", "not by us"), ("apps:other", "not by us"), ("apps:broken", "RuntimeError")):
        done = run("doctor", "--through", app, "--json", folder=shop, expect=1)
        assert told in done.stdout
    done = run("doctor", folder=shop)
    assert "our own door only" in done.stdout


def test_every_command_line_has_it_and_sends_the_event_through_its_own_application(shop: Shop) -> None:
    done = shop.tk("doctor")
    assert "to the disk and back" in done.stdout, done.stderr
    assert ("our own door only" in done.stdout) == ("--app" in shop.line and "tk-analytics" in shop.line[0])
    assert json.loads(shop.done("stats", "--json"))["events"] == 0
