"""``POST …/events``: what is said is stored and answered."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from uuid import UUID

from tests.hosts.base import EVENTS, HOST, SHOP, Host, an_event
from tk_analytics_mw import EventType

FULL = {
    "eventType": "product configuration attribute set",
    "orgId": "acme",
    "sessionId": "5a1a0b52-6f46-4e49-a6e2-6a8fb0f1a6c4",
    "eventMetadata": {"attribute": "Colour", "value": {"name": "Grün", "rgb": [0, 128, 0]}, "sale": True, "old": None},
    "assetId": "asset-9",
    "userId": "user-3",
    "configId": "k3Zb_-9",
    "configuration": {"Colour": "Green"},
    "device": "Showroom kiosk",
    "metric": 99.5,
}


def test_a_created_event_is_answered_with_everything_that_was_given(host: Host) -> None:
    reply = host.from_page(FULL)
    assert reply.status == 200
    assert {name: reply.json[name] for name in FULL} == FULL
    assert set(reply.json) == {*FULL, "id", "createdAt", "requestUrl", "requestOrigin", "referer"}


def test_a_created_event_is_on_disk_when_it_is_answered(host: Host) -> None:
    reply = host.from_page(FULL)
    [row] = host.rows()
    assert row["id"] == reply.json["id"]
    assert row["created_at"] == reply.json["createdAt"]
    assert (row["event_type"], row["org_id"], row["session_id"]) == (
        FULL["eventType"],
        FULL["orgId"],
        FULL["sessionId"],
    )
    assert (row["asset_id"], row["user_id"], row["config_id"]) == ("asset-9", "user-3", "k3Zb_-9")
    assert (row["device"], row["metric"]) == ("Showroom kiosk", 99.5)
    assert '"Grün"' in row["event_metadata"]
    assert row["configuration"] == '{"Colour":"Green"}'


def test_id_is_a_uuid_and_created_at_the_present_in_utc(host: Host) -> None:
    before = datetime.now(timezone.utc).replace(microsecond=0)
    event = host.from_page(an_event()).json
    assert str(UUID(event["id"])) == event["id"]
    assert UUID(event["id"]).version == 7
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", event["createdAt"])
    assert before <= datetime.fromisoformat(event["createdAt"].replace("Z", "+00:00")) <= datetime.now(timezone.utc)


def test_ids_of_later_events_sort_later(host: Host) -> None:
    ids = [host.from_page(an_event()).json["id"] for _ in range(5)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5


def test_id_and_created_at_and_request_facts_cannot_be_set_by_the_client(host: Host) -> None:
    forged = {
        "id": "0190aaaa-0000-7000-8000-000000000000",
        "createdAt": "2001-01-01T00:00:00.000Z",
        "requestUrl": "https://forged.example/",
        "requestOrigin": "https://forged.example",
        "referer": "https://forged.example/",
        "deviceType": "bot",
        "userAgent": "forged",
        "idempotencyKey": "forged",
        "spelling": "forged",
    }
    snake = {"created_at": forged["createdAt"], "request_url": "forged", "device_type": "bot", "user_agent": "forged"}
    reply = host.from_page({**an_event(), **forged, **snake})
    if reply.status == 200:  # unknown names may as well be refused
        [row] = host.rows()
        assert "forged" not in str(row)
        assert row["id"] == reply.json["id"] != forged["id"]
        assert row["created_at"] != forged["createdAt"]
        assert row["device_type"] != "bot"
    else:
        assert reply.status == 422


def test_optional_fields_that_are_absent_are_left_out(host: Host) -> None:
    event = host.from_page(an_event()).json
    assert set(event) == {
        "id",
        "createdAt",
        "eventType",
        "orgId",
        "sessionId",
        "device",
        "metric",
        "requestUrl",
        "requestOrigin",
        "referer",
    }


def test_null_means_absent_for_every_optional_field(host: Host) -> None:
    names = ["eventMetadata", "assetId", "userId", "configId", "configuration", "device", "metric"]
    reply = host.from_page(an_event(**dict.fromkeys(names)))
    assert reply.status == 200
    assert not {"eventMetadata", "assetId", "userId", "configId", "configuration"} & set(reply.json)
    assert (reply.json["device"], reply.json["metric"]) == ("Other / Other / Other", 1)
    [row] = host.rows()
    assert [row[name] for name in ("event_metadata", "asset_id", "user_id", "config_id", "configuration")] == [None] * 5


def test_every_event_type_is_accepted_and_echoed(host: Host) -> None:
    assert len(EventType) == 13
    for type_ in EventType:
        assert host.from_page(an_event(eventType=type_.value)).json["eventType"] == type_.value
    assert [row["event_type"] for row in host.rows()] == [type_.value for type_ in EventType]


def test_other_spellings_are_echoed_and_stored_canonically(host: Host) -> None:
    spellings = {
        f"{first} {rest}": f"product {rest}"
        for first in ("produce", "production")
        for rest in (type_.value.removeprefix("product ") for type_ in EventType)
    }
    assert spellings["production configuration attribute set"] == "product configuration attribute set"
    assert spellings["produce AR not available"] == "product AR not available"
    for spelling in spellings:
        reply = host.from_page(an_event(eventType=spelling))
        assert (reply.status, reply.json["eventType"]) == (200, spelling)
    assert [row["event_type"] for row in host.rows()] == list(spellings.values())


def test_unknown_event_types_are_refused(host: Host) -> None:
    for unknown in (
        "product explode",
        "Product ordered",
        "product  ordered",
        "product ordered ",
        " product ordered",
        "products ordered",
        "ordered",
        "produceordered",
        "produce produce ordered",
        "",
    ):
        reply = host.from_page(an_event(eventType=unknown))
        assert (reply.status, reply.locs) == (422, [["body", "eventType"]]), unknown
    assert host.rows() == []


def test_metric_is_one_by_default_and_decimals_are_kept(host: Host) -> None:
    assert host.from_page(an_event()).json["metric"] == 1
    for metric in (0, -3, 99.95, 1e-7, 12345678.25, 1e308, 2**53):
        assert host.from_page(an_event(metric=metric)).json["metric"] == metric
    assert [row["metric"] for row in host.rows()] == [1, 0, -3, 99.95, 1e-7, 12345678.25, 1e308, 2**53]


def test_config_id_is_a_short_id_or_a_uuid(host: Host) -> None:
    good = ["abcdefg", "A-b_9Z0", "abcdefghijklmn", "_______", "5a1a0b52-6f46-4e49-a6e2-6a8fb0f1a6c4"]
    good.append(good[-1].upper())
    for config_id in good:
        reply = host.from_page(an_event(configId=config_id))
        assert (reply.status, reply.json.get("configId")) == (200, config_id)


def test_other_config_ids_are_refused(host: Host) -> None:
    uuid = "5a1a0b52-6f46-4e49-a6e2-6a8fb0f1a6c4"
    bad = ["", "abcdef", "abcdefghijklmno", "abc defg", "abcdefé", "abcdefg\n", "abcdef.", uuid[:-1], f"{uuid}0"]
    bad += [
        f"{{{uuid}}}",
        uuid.replace("-", ""),
        f"urn:uuid:{uuid}",
        f"{uuid}\n",
        "5a1a0b52-6f46-4e49-a6e2-6a8fb0f1a6cg",
    ]
    for config_id in bad:
        reply = host.from_page(an_event(configId=config_id))
        assert (reply.status, reply.locs) == (422, [["body", "configId"]]), config_id


def test_ids_hold_up_to_200_characters(host: Host) -> None:
    for name in ("sessionId", "assetId", "userId"):
        assert host.from_page(an_event(**{name: "ü" * 200})).json[name] == "ü" * 200
        reply = host.from_page(an_event(**{name: "x" * 201}))
        assert (reply.status, reply.locs) == (422, [["body", name]])


def test_request_url_has_no_query_and_origin_is_repeated(host: Host) -> None:
    event = host.from_page(an_event(), query="orgId=acme").json
    assert event["requestUrl"] == f"http://{HOST}{EVENTS}"
    assert event["requestOrigin"] == SHOP
    [row] = host.rows()
    assert (row["request_url"], row["request_origin"]) == (event["requestUrl"], SHOP)


def test_referer_is_always_a_string_without_its_query(host: Host) -> None:
    assert host.from_page(an_event()).json["referer"] == ""
    page = "https://shop.example.com/sofas/7"
    event = host.from_page(an_event(), headers={"Referer": f"{page}?customer=jane&token=t#reviews"}).json
    assert event["referer"] == page
    assert [row["referer"] for row in host.rows()] == ["", page]


def test_user_info_in_a_referer_is_not_kept(host: Host) -> None:
    event = host.from_page(an_event(), headers={"Referer": "https://jane:secret@shop.example.com/sofas"}).json
    assert "secret" not in event["referer"]
    assert "secret" not in str(host.rows())


def test_a_server_has_no_origin_and_the_answer_says_null(host: Host) -> None:
    event = host.from_server(an_event()).json
    assert event["requestOrigin"] is None
    assert event["requestUrl"] == f"http://{HOST}{EVENTS}"
    assert event["referer"] == ""


def test_no_ip_address_is_stored(host: Host) -> None:
    host.from_page(an_event(), headers={"X-Forwarded-For": "198.51.100.23", "X-Real-Ip": "198.51.100.23"})
    [row] = host.rows()
    assert not re.search(r"198\.51\.100\.23|203\.0\.113\.7|127\.0\.0\.1", str(row))


def test_the_database_file_belongs_to_its_owner_alone(host: Host) -> None:
    assert not host.database.exists(), "nothing is opened before the first event"
    host.from_page(an_event())
    assert host.database.stat().st_mode & 0o777 == 0o600


def test_org_from_token_fills_in_the_organisation_when_it_is_turned_on(make_host) -> None:
    body = {"eventType": "product ordered", "sessionId": "s"}
    refused = make_host().from_server(body)
    assert (refused.status, refused.locs) == (422, [["body", "orgId"]])
    host = make_host(org_from_token=True)
    assert host.from_server(body).json["orgId"] == "acme"
    assert host.from_server({**body, "orgId": None}).json["orgId"] == "acme"
    assert host.from_server(body, query="orgId=showroom").json["orgId"] == "showroom"
    assert host.from_server({**body, "orgId": "rival"}).status == 403


def test_further_event_types_of_the_host(make_host) -> None:
    host = make_host(event_types=["brochure request"])
    assert host.from_page(an_event(eventType="brochure request")).json["eventType"] == "brochure request"
    assert host.from_page(an_event(eventType="product ordered")).status == 200
    assert host.from_page(an_event(eventType="brochure")).status == 422
    assert [row["event_type"] for row in host.rows()] == ["brochure request", "product ordered"]


def test_private_only_types_need_a_private_token_in_every_spelling(make_host) -> None:
    host = make_host(private_only=["produce ordered"])
    for spelling in ("product ordered", "produce ordered", "production ordered"):
        assert host.from_page(an_event(eventType=spelling)).status == 403
        assert host.from_server(an_event(eventType=spelling)).status == 200
    assert host.from_page(an_event()).status == 200
    host.analytics.record("product ordered", org_id="acme", session_id="s")
    assert len(host.rows()) == 5
