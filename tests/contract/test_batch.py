"""``POST …/events/batch``: each event judged on its own."""

from __future__ import annotations

import json
from typing import Any

from tests.hosts.base import BATCH, Host, Reply, an_event, without


def send(host: Host, events: Any, **how: Any) -> Reply:
    return host.from_server({"events": events}, path=BATCH, **how)


def test_results_come_in_the_order_of_the_events(host: Host) -> None:
    reply = send(
        host,
        [
            an_event(userId="first"),
            an_event(eventType="product explode"),
            an_event(userId="third", eventType="produce ordered"),
            an_event(orgId="rival"),
            "no event",
            an_event(userId="sixth"),
        ],
    )
    assert reply.status == 200
    results = reply.json["results"]
    assert [result["status"] for result in results] == [200, 422, 200, 403, 422, 200]
    assert [result["event"]["userId"] for result in results if result["status"] == 200] == ["first", "third", "sixth"]
    assert results[2]["event"]["eventType"] == "produce ordered"
    assert [row["user_id"] for row in host.rows()] == ["first", "third", "sixth"]
    assert [row["event_type"] for row in host.rows()][1] == "product ordered"


def test_a_result_is_what_a_single_create_answers(host: Host) -> None:
    event = an_event(metric=2.5, eventMetadata={"a": [1]}, configId=None)
    [result] = send(host, [event]).json["results"]
    single = host.from_server(event).json
    assert result["status"] == 200
    own = ("id", "createdAt", "requestUrl")
    assert without(result["event"], *own) == without(single, *own)
    assert result["event"]["requestUrl"] == single["requestUrl"] + "/batch"


def test_errors_say_where_in_the_batch_they_are(host: Host) -> None:
    results = send(host, [an_event(), an_event(metric="5"), [], an_event(userId="\x00")]).json["results"]
    assert [result["status"] for result in results] == [200, 422, 422, 422]
    assert [result["errors"][0]["loc"] for result in results[1:]] == [
        ["body", "events", 1, "metric"],
        ["body", "events", 2],
        ["body", "events", 3, "userId"],
    ]
    for result in results[1:]:
        assert all(set(error) == {"loc", "msg", "type"} for error in result["errors"])


def test_what_no_storage_holds_spoils_only_its_own_event(host: Host) -> None:
    odd = ["1e400", str(2**63), '"\\u0000"', '"\\ud800"', "[" * 40 + "]" * 40]
    good = json.dumps(an_event())
    items = [good, *(good[:-1] + f', "eventMetadata": {{"a": {text}}}}}' for text in odd), good]
    reply = host.from_server(f'{{"events": [{",".join(items)}]}}', path=BATCH)
    assert [result["status"] for result in reply.json["results"]] == [200, *[422] * len(odd), 200]
    assert len(host.rows()) == 2


def test_nesting_counts_from_each_event(host: Host) -> None:
    def deep(levels: int) -> str:
        return json.dumps(an_event())[:-1] + f', "eventMetadata": {{"a": {"[" * levels}{"]" * levels}}}}}'

    reply = host.from_server(f'{{"events": [{deep(30)}, {deep(31)}]}}', path=BATCH)
    assert [result["status"] for result in reply.json["results"]] == [200, 422]


def test_a_batch_holds_1_to_500_events(host: Host) -> None:
    small = an_event()
    assert len(send(host, [small] * 500).json["results"]) == 500
    for events in ([], [small] * 501):
        reply = send(host, events)
        assert (reply.status, reply.locs) == (422, [["body", "events"]])
    assert len(host.rows()) == 500
    assert len({row["id"] for row in host.rows()}) == 500


def test_the_number_of_events_is_a_setting(make_host) -> None:
    host = make_host(max_batch_events=2)
    assert send(host, [an_event()] * 2).status == 200
    assert send(host, [an_event()] * 3).status == 422
    assert len(host.rows()) == 2


def test_events_is_a_list(host: Host) -> None:
    for body in ({}, {"events": None}, {"events": {}}, {"events": "x"}, {"Events": [an_event()]}, [an_event()]):
        reply = host.from_server(body, path=BATCH)
        assert (reply.status, reply.locs) == (422, [["body", "events"]]), body


def test_a_batch_of_nothing_but_mistakes_is_answered_and_stores_nothing(host: Host) -> None:
    reply = send(host, [{}, {}, 1])
    assert reply.status == 200
    assert [result["status"] for result in reply.json["results"]] == [422, 422, 422]
    assert host.rows() == []


def test_the_organisation_in_the_query_holds_for_every_event(host: Host) -> None:
    events = [an_event(), an_event(orgId="showroom")]
    results = send(host, events, query="orgId=showroom").json["results"]
    assert [result["status"] for result in results] == [422, 200]
    assert send(host, events, query="orgId=rival").status == 403


def test_private_only_types_are_judged_one_by_one(make_host) -> None:
    host = make_host(private_only=["product ordered"])
    body = {"events": [an_event(), an_event(eventType="product ordered")]}
    assert [result["status"] for result in host.from_page(body, path=BATCH).json["results"]] == [200, 403]
    assert [result["status"] for result in host.from_server(body, path=BATCH).json["results"]] == [200, 200]


def test_hooks_see_each_stored_event_of_a_batch(make_host) -> None:
    seen: list[str] = []
    host = make_host(
        register=lambda analytics: analytics.on("product cart-add")(lambda event: seen.append(event.user_id))
    )
    send(host, [an_event(userId="a"), {}, an_event(userId="b", eventType="product ordered"), an_event(userId="c")])
    assert seen == ["a", "c"]
