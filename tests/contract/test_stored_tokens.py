"""Tokens that the storage keeps, on every face: made, used, exchanged, taken back, run out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.commands import invoke, said
from tests.hosts.base import EVENTS, PRIVATE, SHOP, Host, an_event
from tk_analytics_mw import Analytics, ConfigurationError, PrivateToken
from tk_analytics_mw.auth import stored
from tk_analytics_mw.auth.stored import is_well_formed, new_token

PUBLIC = ("--public", "--org", "acme", "--domain", "shop.example.com")


@pytest.fixture
def host(make_host) -> Host:
    return make_host(tokens="stored")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request reads the tokens again: what it takes some seconds to know is known at once."""
    monkeypatch.setattr(stored, "FRESH", -1.0)
    monkeypatch.setattr(stored, "STALE", -1.0)
    monkeypatch.setattr(stored, "READ_EVERY", -1.0)


def create(host: Host, *options: str) -> dict[str, Any]:
    made = said(host, "token", "create", *options)
    assert is_well_formed(made["token"])
    return made


def test_a_stored_token_is_as_good_as_a_listed_one(host: Host) -> None:
    public, private = create(host, *PUBLIC), create(host, "--private", "--org", "acme")
    for _ in range(2):
        assert host.from_page(an_event(), token=public["token"]).status == 200
        assert host.from_server(an_event(), token=private["token"]).status == 200
    assert host.from_page(an_event(), token=public["token"], origin="https://foreign.example").status == 401
    assert host.from_page(an_event(orgId="rival"), token=public["token"]).status == 403
    assert host.from_server(an_event(), token=public["token"]).status == 401
    assert host.from_server(an_event(), token=private["token"], headers={"Origin": SHOP}).status == 401
    assert host.from_page(an_event(), token=private["token"], origin=None).status == 401
    assert len(host.rows()) == 4


def test_a_preflight_knows_a_stored_token(host: Host) -> None:
    public = create(host, *PUBLIC)
    headers = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    reply = host.request("OPTIONS", EVENTS, query=f"bearer_token={public['token']}", headers=headers)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, SHOP)


def test_listed_and_stored_tokens_count_side_by_side(make_host) -> None:
    host = make_host(tokens=[PrivateToken(PRIVATE, org_id="acme"), "stored"])
    made = create(host, "--private", "--org", "acme")
    assert host.from_server(an_event()).status == 200
    assert host.from_server(an_event(), token=made["token"]).status == 200


def test_stored_tokens_do_not_count_unless_the_setting_says_so(make_host) -> None:
    host = make_host()
    result = invoke(host, "token", "create", "--private", "--org", "acme")
    assert "does not count yet" in result.stderr
    assert host.from_server(an_event(), token=result.stdout.strip()).status == 401


def test_what_cannot_be_a_token_and_what_nobody_has_are_refused(host: Host) -> None:
    good = new_token("private")
    wrong_digit = good[:-1] + ("a" if good[-1] != "a" else "b")
    for token in (wrong_digit, good[:-1], good + "0", good.replace("prv", "pub"), good.lower(), "tka_prv_", "x" * 46):
        assert host.from_server(an_event(), token=token).status == 401
    assert host.from_server(an_event(), token=good).status == 401
    assert host.rows() == []


def test_the_database_holds_no_token_and_its_use_by_the_day(host: Host) -> None:
    made = create(host, "--private", "--org", "acme", "--label", "back office")
    assert host.from_server(an_event(), token=made["token"]).status == 200
    [listed] = [said(host, "token", "list")]
    today = datetime.now(timezone.utc).date()
    assert listed["id"] == made["id"]
    assert listed["lastUsed"] in {today.isoformat(), (today - timedelta(days=1)).isoformat()}
    with closing(sqlite3.connect(host.database)) as connection:
        dump = "\n".join(connection.iterdump())
    assert made["id"] in dump
    assert made["token"] not in dump
    assert made["token"][8:40] not in dump


def test_both_count_while_one_takes_the_place_of_the_other(host: Host, impatient: None) -> None:
    old = create(host, *PUBLIC)
    new = said(host, "token", "rotate", old["id"])
    for each in (old, new):
        assert host.from_page(an_event(), token=each["token"]).status == 200
    assert (new["domains"], new["rotatedFrom"]) == (old["domains"], old["id"])
    for each in (old, new):
        assert invoke(host, "token", "rotate", each["id"]).exit_code == 1, "two count already"
    invoke(host, "token", "revoke", old["id"])
    assert host.from_page(an_event(), token=old["token"]).status == 401
    assert host.from_page(an_event(), token=new["token"]).status == 200


def test_without_overlap_the_old_one_ends_at_once(host: Host, impatient: None) -> None:
    old = create(host, "--private", "--org", "acme")
    new = said(host, "token", "rotate", old["id"], "--overlap", "0s")
    reply = host.from_server(an_event(), token=old["token"])
    assert (reply.status, reply.json["detail"]) == (401, "The token has expired.")
    assert host.from_server(an_event(), token=new["token"]).status == 200


def test_a_revoked_token_is_refused_and_its_page_may_read_why(host: Host, impatient: None) -> None:
    made = create(host, *PUBLIC)
    assert host.from_page(an_event(), token=made["token"]).status == 200
    assert invoke(host, "token", "revoke", made["id"]).exit_code == 0
    reply = host.from_page(an_event(), token=made["token"])
    assert (reply.status, reply.json["detail"]) == (401, "The token has been revoked.")
    assert reply.headers["access-control-allow-origin"] == SHOP
    assert len(host.rows()) == 1


def test_until_it_has_read_again_a_process_goes_by_what_it_knows(host: Host) -> None:
    made = create(host, *PUBLIC)
    assert host.from_page(an_event(), token=made["token"]).status == 200
    assert invoke(host, "token", "revoke", made["id"]).exit_code == 0
    assert host.from_page(an_event(), token=made["token"]).status == 200, (
        "for ten seconds: tests/servers waits for them"
    )


def test_a_token_that_cannot_be_checked_lets_nobody_in(host: Host) -> None:
    made = create(host, "--private", "--org", "acme")
    host.analytics.close()
    for path in host.database.parent.iterdir():
        path.unlink()
    host.database.write_bytes(b"no database at all" * 500)
    reply = host.from_server(an_event(), token=made["token"])
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")


def test_a_token_that_is_known_outlives_the_database_for_some_seconds(host: Host, monkeypatch) -> None:
    made = create(host, "--private", "--org", "acme")
    assert host.from_server(an_event(), token=made["token"]).status == 200
    host.analytics.close()
    for path in host.database.parent.iterdir():
        path.unlink()
    host.database.write_bytes(b"no database at all" * 500)
    monkeypatch.setattr(stored, "FRESH", -1.0)
    assert host.from_server(an_event(), token=made["token"]).status == 503, "of the write"
    monkeypatch.setattr(stored, "STALE", -1.0)
    reply = host.from_server(an_event(), token=made["token"])
    assert (reply.status, reply.json["detail"]) == (503, "The token cannot be checked now: try again.")


def test_a_storage_that_keeps_no_tokens_stops_the_start() -> None:
    class Nowhere:
        def write(self, events: Any) -> None: ...

        def close(self) -> None: ...

    with pytest.raises(ConfigurationError, match="Nowhere"):
        Analytics(tokens="stored", storage=Nowhere())
