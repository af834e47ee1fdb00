"""The command line with ClickHouse's server and a cluster: tables, what is wrong, and copies there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import SHOP, run
from tests.databases.clickhouse import PASSWORD, ClickHouse, storage_at
from tk_analytics_mw.storage.sqlite import SqliteStorage
from tk_analytics_mw.testing import an_event

pytest.importorskip("clickhouse_connect")

WRONG = "wrong-password-of-the-shop"


def shop_at(url: str, folder: Path) -> None:
    """Write the module of a shop whose events are there."""
    kept = SHOP.partition("@analytics.on")[0].replace("sqlite:///analytics.db", url).replace('        "stored",\n', "")
    (folder / "shop.py").write_text(kept)


@pytest.fixture(params=["clickhouse", "clickhouse_cluster"])
def server(request: pytest.FixtureRequest) -> ClickHouse:
    found: ClickHouse = request.getfixturevalue(request.param)
    return found


def test_migrate_makes_the_tables_and_doctor_finds_all_well(server: ClickHouse, tmp_path: Path) -> None:
    shop_at(server.fresh(migrated=False), tmp_path)
    told = run("doctor", folder=tmp_path, expect=1).stdout
    assert "migrations are to be applied: 0001_events" in told
    assert run("migrate", "--check", folder=tmp_path, expect=1).stdout == "pending 0001_events\n"
    assert run("migrate", folder=tmp_path).stdout == "applied 0001_events\n"
    assert run("migrate", folder=tmp_path).stdout == "nothing to do: the tables are up to date\n"
    told = run("doctor", folder=tmp_path).stdout
    for line in (
        "ClickHouse 2",
        "the server's clock shows",
        "the tables are there, and merged",
        "to the disk and back",
    ):
        assert line in told
    assert json.loads(run("stats", "--json", folder=tmp_path).stdout)["events"] == 0, "the doctor's event is gone"


@pytest.mark.parametrize(
    ("wrong", "plain"),
    [
        ("password", "there is no such user, or it has another password"),
        ("database", "there is no such database"),
        ("server", "refused"),
    ],
)
def test_what_is_wrong_with_the_url_is_said_plainly_and_without_the_password(
    clickhouse: ClickHouse, tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str, plain: str
) -> None:
    url = clickhouse.fresh()
    url = {
        "password": clickhouse.url(url.rpartition("/")[2], password=WRONG),
        "database": clickhouse.url("elsewhere"),
        "server": url.replace(f":{clickhouse.port}/", ":1/"),
    }[wrong]
    shop_at(url, tmp_path)
    doctor = run("doctor", folder=tmp_path, expect=1)
    migrate = run("migrate", folder=tmp_path, expect=1)
    (finding,) = [line for line in doctor.stdout.splitlines() if line.startswith("error    ClickHouse")]
    assert plain in finding
    assert plain in migrate.stderr
    assert migrate.stderr.count("\n") == 1
    for text in (doctor.stdout, doctor.stderr, migrate.stdout, migrate.stderr, caplog.text):
        assert WRONG not in text
        assert PASSWORD not in text
        assert "Traceback" not in text


def test_events_are_copied_to_clickhouse_and_back(server: ClickHouse, tmp_path: Path) -> None:
    source = SqliteStorage(tmp_path / "old.db", durability="relaxed")
    metadata = {"b": [1, 2.5, 1e300, None, True], "a": {"ü": "🛒"}, "n": 2**53, "q": "'\\\n\t\0"}
    source.write([an_event(1, event_metadata=metadata, configuration={}, metric=0.1, idempotency_key="k")])
    source.write([an_event(number, org_id="rival", user_id="jane") for number in range(2, 1_500)])
    url = server.fresh()

    def copied(here: str, there: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(run("copy", "--from", here, "--to", there, "--json", folder=tmp_path).stdout)
        assert told["same"] is True
        return told["organisations"]

    sent = copied("sqlite:///old.db", url)
    assert {org_id: each["to"]["events"] for org_id, each in sent.items()} == {"acme": 1, "rival": 1_498}
    assert copied("sqlite:///old.db", url) == sent, "it may be repeated"
    assert copied(url, "sqlite:///new.db") == sent, "counts and checksums"
    target = SqliteStorage(tmp_path / "new.db", durability="relaxed")
    assert target.reader.event("acme", an_event(1).id) == source.reader.event("acme", an_event(1).id)
    assert len(server.stored(url)) == 1_499
    # Negative control: what is not the same is told.
    other = storage_at(server.fresh())
    other.write([an_event(1, metric=3.0)])
    to = server.url(other.target.database)
    assert run("copy", "--from", "sqlite:///old.db", "--to", to, folder=tmp_path, expect=1)
    for storage in (source, target, other):
        storage.close()
