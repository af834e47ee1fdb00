"""``Idempotency-Key``: a retry never duplicates."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.hosts.base import BATCH, RIVAL_PRIVATE, Host, an_event

KEY = {"Idempotency-Key": "order-4711"}


def test_the_same_key_gives_the_first_answer_again_and_one_row(host: Host) -> None:
    body = an_event(eventMetadata={"a": [1, "ü", None]}, configuration={"b": {}}, metric=2.5, configId="abcdefg")
    first = host.from_server(body, headers=KEY)
    second = host.from_server(body, headers=KEY)
    assert (first.status, second.status) == (200, 200)
    assert second.json == first.json
    assert second.body == first.body
    assert len(host.rows()) == 1


def test_the_first_answer_is_given_in_its_own_spelling_whatever_the_retry_holds(host: Host) -> None:
    first = host.from_page(an_event(eventType="produce ordered", metric=1), headers=KEY)
    retry = host.from_page(an_event(eventType="product ordered", metric=2), headers=KEY)
    assert retry.json == first.json
    assert retry.json["eventType"] == "produce ordered"
    assert [row["metric"] for row in host.rows()] == [1]


def test_other_keys_and_no_keys_are_other_events(host: Host) -> None:
    headers = [KEY, {"Idempotency-Key": "order-4712"}, {"Idempotency-Key": "ORDER-4711"}, {}, {}]
    assert len({host.from_server(an_event(), headers=each).json["id"] for each in headers}) == 5


def test_the_key_of_another_organisation_is_another_key(host: Host) -> None:
    ours = host.from_server(an_event(userId="ours"), headers=KEY)
    theirs = host.from_server(an_event(orgId="rival", userId="theirs"), token=RIVAL_PRIVATE, headers=KEY)
    assert theirs.status == 200
    assert theirs.json["id"] != ours.json["id"]
    assert theirs.json["userId"] == "theirs"
    assert len(host.rows()) == 2


def test_organisations_that_speak_about_a_public_one_do_not_share_its_keys(host: Host) -> None:
    ours = host.from_server(an_event(orgId="showroom", userId="ours"), headers=KEY)
    theirs = host.from_server(an_event(orgId="showroom", userId="theirs"), token=RIVAL_PRIVATE, headers=KEY)
    assert (ours.status, theirs.status) == (200, 200)
    assert theirs.json["userId"] == "theirs", "an answer that is another organisation's"
    assert theirs.json["id"] != ours.json["id"]


def test_public_and_private_token_of_one_organisation_share_its_keys(host: Host) -> None:
    assert host.from_page(an_event(), headers=KEY).json["id"] == host.from_server(an_event(), headers=KEY).json["id"]


def test_an_event_that_was_refused_does_not_use_up_its_key(host: Host) -> None:
    assert host.from_server(an_event(metric="x"), headers=KEY).status == 422
    assert host.from_server(an_event(metric=3), headers=KEY).json["metric"] == 3


def test_a_retry_of_an_invalid_request_is_still_invalid(host: Host) -> None:
    assert host.from_server(an_event(), headers=KEY).status == 200
    assert host.from_server(an_event(metric="x"), headers=KEY).status == 422
    assert host.from_server(an_event(), token="nobody", headers=KEY).status == 401


def test_a_key_has_1_to_200_visible_characters(host: Host) -> None:
    for good in ("x", "k" * 200, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "a/b:c=d"):
        assert host.from_server(an_event(), headers={"Idempotency-Key": good}).status == 200, good
    for bad in ("", "k" * 201, "a b", "ä"):
        reply = host.from_server(an_event(), headers={"Idempotency-Key": bad})
        assert (reply.status, reply.locs) == (422, [["header", "Idempotency-Key"]]), bad
    assert len(host.rows()) == 4


def test_at_the_same_moment_too_there_is_one_event(host: Host) -> None:
    def create(number: int) -> str:
        reply = host.from_server(an_event(userId=f"user-{number}"), headers=KEY)
        assert reply.status == 200
        return str(reply.json["id"])

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(create, range(16)))
    [row] = host.rows()
    assert set(ids) == {row["id"]}


def test_a_batch_that_is_sent_again_gives_the_same_results(host: Host) -> None:
    body = {"events": [an_event(userId="a"), an_event(metric="x"), an_event(userId="c")]}
    first = host.from_server(body, path=BATCH, headers=KEY)
    second = host.from_server(body, path=BATCH, headers=KEY)
    assert [result["status"] for result in first.json["results"]] == [200, 422, 200]
    assert second.json == first.json
    assert len(host.rows()) == 2


def test_one_key_serves_a_batch_and_a_single_event(host: Host) -> None:
    single = host.from_server(an_event(), headers=KEY)
    batch = host.from_server({"events": [an_event(), an_event()]}, path=BATCH, headers=KEY)
    ids = {single.json["id"], *(result["event"]["id"] for result in batch.json["results"])}
    assert len(ids) == len(host.rows()) == 3


def test_hooks_are_called_for_the_first_of_them_only(make_host) -> None:
    seen: list[str] = []

    def register(analytics) -> None:
        analytics.on()(lambda event: seen.append("after"))
        analytics.on(when="inline")(lambda event: seen.append("inline"))

    host = make_host(register=register)
    for _ in range(3):
        assert host.from_server(an_event(), headers=KEY).status == 200
    assert seen == ["inline", "after"]


def test_host_code_has_keys_too(host: Host) -> None:
    fields = {"org_id": "acme", "session_id": "s", "idempotency_key": "order-4711"}
    first = host.analytics.record("product ordered", **fields)
    assert host.analytics.record("product ordered", **fields).id == first.id
    assert host.from_server(an_event(), headers=KEY).json["id"] == first.id
    assert len(host.rows()) == 1
