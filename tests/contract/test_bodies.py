"""What a body may hold, and that everything else is 422, never 500, and is never repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hosts.base import BATCH, EVENTS, PRIVATE, Host, an_event, without

SECRET = "hunter2-hunter2"


def raw(**members: str) -> str:
    """A valid event with further members whose values are JSON text."""
    return json.dumps(an_event())[:-1] + "".join(f', "{name}": {text}' for name, text in members.items()) + "}"


def nested(depth: int, *, opening: str = '{"a":', closing: str = "}") -> str:
    """Objects within objects: ``depth`` of them, one within the other."""
    return opening * (depth - 1) + ("{}" if opening.startswith("{") else "[]") + closing * (depth - 1)


def accepted(host: Host, body: str | bytes | dict[str, Any]) -> bool:
    return host.from_page(body).status == 200


def test_required_fields_are_required(host: Host) -> None:
    for name in ("eventType", "orgId", "sessionId"):
        for body in (without(an_event(), name), an_event(**{name: None})):
            reply = host.from_page(body)
            assert (reply.status, reply.locs) == (422, [["body", name]]), name
    assert host.rows() == []


def test_every_mistake_is_reported_at_its_place(host: Host) -> None:
    reply = host.from_page({"eventType": 7, "orgId": "", "metric": "5", "configId": "x", "eventMetadata": []})
    assert reply.status == 422
    names = ["eventType", "orgId", "sessionId", "metric", "configId", "eventMetadata"]
    assert sorted(reply.locs) == sorted(["body", name] for name in names)
    for error in reply.json["errors"]:
        assert set(error) == {"loc", "msg", "type"}
        assert all(isinstance(error[name], str) and error[name] for name in ("msg", "type"))


def test_values_of_another_type_are_refused(host: Host) -> None:
    values: dict[str, list[Any]] = {
        "eventType": [1, True, ["product ordered"], {}],
        "orgId": [1, True, ["acme"], {}],
        "sessionId": [1, 1.5, False, ["s"], {"id": "s"}],
        "assetId": [1, True, [], {}],
        "userId": [42, True, [], {}],
        "configId": [1234567, True, [], {}],
        "device": [1, True, [], {}],
        "eventMetadata": ["{}", 1, True, [], [{}]],
        "configuration": ["{}", 1, True, [], [{}]],
        "metric": ["1", "", True, False, [1], {}, "NaN"],
    }
    for name, wrong in values.items():
        for value in wrong:
            reply = host.from_page(an_event(**{name: value}))
            assert (reply.status, reply.locs) == (422, [["body", name]]), (name, value)
    assert host.rows() == []


def test_blank_ids_are_refused(host: Host) -> None:
    for name in ("orgId", "sessionId", "assetId", "userId"):
        for blank in ("", " ", "\t\n "):
            reply = host.from_page(an_event(**{name: blank}))
            assert (reply.status, reply.locs) == (422, [["body", name]]), (name, blank)


def test_placeholders_are_no_sessions_and_no_organisations(host: Host) -> None:
    for placeholder in ("null", "undefined", "[object Object]", "00000000-0000-0000-0000-000000000000"):
        for name in ("sessionId", "orgId"):
            reply = host.from_page(an_event(**{name: placeholder}))
            assert (reply.status, reply.locs) == (422, [["body", name]]), (name, placeholder)
    assert accepted(host, an_event(sessionId="nullify", userId="null", assetId="undefined"))


def test_a_body_that_is_no_json_object_is_refused(host: Host) -> None:
    for body in ("", " ", "{", "}", "[]", "null", "1", '"x"', "true", "event", f"[{raw()}]", f"{raw()},", raw() + "x"):
        for path in (EVENTS, BATCH):
            reply = host.from_page(body, path=path)
            assert reply.status == 422, (body, path)
            assert reply.locs[0][0] == "body"
    assert host.rows() == []


def test_json_that_only_some_parsers_take_is_refused(host: Host) -> None:
    bodies = [
        raw(metric="NaN"),
        raw(metric="Infinity"),
        raw(metric="-Infinity"),
        raw(metric="+1"),
        raw(metric="01"),
        raw(metric=".5"),
        raw(metric="0x10"),
        raw(eventMetadata='{"a": NaN}'),
        raw(eventMetadata='{"a": [1, Infinity]}'),
        raw(eventMetadata='{"a": undefined}'),
        raw(eventMetadata="{'a': 1}"),
        raw(eventMetadata='{"a": 1,}'),
        raw(eventMetadata="{a: 1}"),
        raw(eventMetadata='{"a": "\t"}'),
        raw(eventMetadata='{"a": "\n"}'),
        raw(eventMetadata='{"a": "\\x41"}'),
        f"/* comment */ {raw()}",
    ]
    for body in bodies:
        assert host.from_page(body).status == 422, body
    assert host.rows() == []


def test_numbers_that_no_double_or_64_bit_integer_holds_are_refused(host: Host) -> None:
    for number in ("1e400", "-1e400", str(2**63), str(-(2**63) - 1), "9" * 400, "9" * 4301, f"1{'0' * 400}.5"):
        for body in (raw(metric=number), raw(eventMetadata=f'{{"a": [{{"b": {number}}}]}}')):
            reply = host.from_page(body)
            assert (reply.status, reply.locs[0][0]) == (422, "body"), body[:120]
    assert host.rows() == []


def test_the_greatest_numbers_that_can_be_held_are_kept(host: Host) -> None:
    given = {"most": 2**63 - 1, "least": -(2**63), "big": 1.7e308, "small": 5e-324, "zero": -0.0}
    reply = host.from_page(an_event(eventMetadata=given))
    assert reply.json["eventMetadata"] == given
    assert json.loads(host.rows()[0]["event_metadata"]) == given


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800", "\\udfff", "\\udc00\\ud800", "a\\uD83D", "\\uD83D b"])
def test_strings_that_no_storage_holds_are_refused_wherever_they_stand(host: Host, escape: str) -> None:
    places = {
        "sessionId": f'"{escape}"',
        "userId": f'"{escape}"',
        "device": f'"x{escape}"',
        "eventType": f'"{escape}"',
        "eventMetadata": f'{{"a": {{"b": ["{escape}"]}}}}',
        "configuration": f'{{"{escape}": 1}}',
        "unknownField": f'"{escape}"',
    }
    for name, text in places.items():
        body = json.dumps(without(an_event(), name))[:-1] + f', "{name}": {text}}}'
        reply = host.from_page(body)
        assert reply.status == 422, name
        assert reply.locs[0][0] == "body"
        if name != "unknownField":
            assert reply.locs[0] == ["body", name]
    assert host.from_page(json.dumps(an_event())[:-1] + f', "{escape}": 1}}').status == 422
    assert host.rows() == []


def test_characters_of_every_plane_are_kept(host: Host) -> None:
    text = 'Größe 大 🛋️ \u200f \x7f \ufffe \U0010ffff \\u0000 " \\ / \t\n'
    for body in (json.dumps(an_event(userId=text)), json.dumps(an_event(userId=text), ensure_ascii=False)):
        assert host.from_page(body).json["userId"] == text
    assert [row["user_id"] for row in host.rows()] == [text, text]


def test_bytes_that_are_not_utf_8_are_refused(host: Host) -> None:
    event = raw(userId='"?"').encode()
    for wrong in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\x00"):
        assert host.from_page(event.replace(b"?", wrong)).status == 422, wrong
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32"):
        assert host.from_page(raw().encode(encoding)).status == 422, encoding
    assert host.rows() == []


def test_nesting_is_allowed_to_a_depth_of_32(host: Host) -> None:
    # The body itself is the first level.
    for opening, closing in (('{"a":', "}"), ("[", "]")):
        assert accepted(host, raw(eventMetadata=f'{{"a": {nested(30, opening=opening, closing=closing)}}}'))
        reply = host.from_page(raw(eventMetadata=f'{{"a": {nested(31, opening=opening, closing=closing)}}}'))
        assert (reply.status, reply.locs) == (422, [["body", "eventMetadata"]])
        for depth in (100, 500, 5000, 20_000 // len(opening)):
            reply = host.from_page(raw(configuration=f'{{"a": {nested(depth, opening=opening, closing=closing)}}}'))
            assert reply.status == 422
            assert reply.locs[0][0] == "body"
    assert len(host.rows()) == 2


def test_brackets_in_a_text_and_side_by_side_are_no_nesting(host: Host) -> None:
    assert accepted(host, an_event(eventMetadata={"a": "[" * 100 + "{" * 100, "b": [[] for _ in range(100)]}))


def test_a_key_that_is_there_twice_is_refused(host: Host) -> None:
    for body in (
        raw(orgId='"acme"'),
        raw(orgId='"rival"'),
        raw(eventMetadata='{"a": 1, "a": 1}'),
        raw(eventMetadata='{"a": [{"b": 1, "c": 2, "b": 3}]}'),
        raw(eventMetadata='{"a": 1, "\\u0061": 2}'),
    ):
        assert host.from_page(body).status == 422, body
    assert host.rows() == []


def test_an_answer_to_an_invalid_body_never_repeats_it_and_stays_small(host: Host) -> None:
    bodies: list[Any] = [
        an_event(eventType=SECRET),
        an_event(eventType={SECRET: SECRET}),
        an_event(orgId=SECRET * 50),
        an_event(sessionId=[SECRET]),
        an_event(configId=SECRET + "!"),
        an_event(metric=SECRET),
        an_event(device=SECRET * 1000),
        an_event(eventMetadata=SECRET),
        an_event(eventMetadata={SECRET: "\x00"}),
        an_event(eventMetadata={SECRET: [2**70]}),
        an_event(**{SECRET: "\x00"}),
        an_event(**{f"{SECRET}\x00": 1}),
        raw(eventMetadata=f'{{"{SECRET}": 1, "{SECRET}": 2}}'),
        raw(eventMetadata=f"{{{SECRET}: 1}}"),
        f'{{"{SECRET}": {nested(40)}}}',
        SECRET,
        f'"{SECRET}"',
        {SECRET: SECRET},
        {"events": SECRET},
        SECRET.encode() + b"\xff",
    ]
    for body in bodies:
        for path in (EVENTS, BATCH):
            reply = host.from_page(body, path=path)
            assert reply.status == 422, body
            assert SECRET[:7] not in reply.body.decode() + str(reply.headers), body
            assert 1 <= len(reply.json["errors"]) <= 20
            assert len(reply.body) <= 4096


def test_a_batch_of_mistakes_reports_at_most_twenty_of_each_event(host: Host) -> None:
    wrong = {SECRET + str(number): "\x00" for number in range(50)}
    reply = host.from_page({"events": [an_event(**wrong), {name: [] for name in an_event()}]}, path=BATCH)
    assert reply.status == 200
    for result in reply.json["results"]:
        assert result["status"] == 422
        assert 1 <= len(result["errors"]) <= 20
    assert SECRET[:7] not in reply.body.decode()


def sized(size: int) -> bytes:
    """A valid event of exactly ``size`` bytes."""
    empty = json.dumps(an_event(eventMetadata={"a": ""})).encode()
    return empty.replace(b'"a": ""', b'"a": "' + b"x" * (size - len(empty)) + b'"')


def test_a_body_may_have_64_kib_and_not_a_byte_more(host: Host) -> None:
    assert len(sized(65_536)) == 65_536
    assert host.from_page(sized(65_536)).status == 200
    assert host.from_page(sized(65_537)).status == 413
    assert host.from_server(sized(1_000_000)).status == 413
    assert len(host.rows()) == 1


def test_the_limits_are_settings(make_host) -> None:
    host = make_host(max_body_bytes=300, max_batch_bytes=800)
    assert host.from_page(sized(300)).status == 200
    assert host.from_page(sized(301)).status == 413
    batch = {"events": [an_event(), an_event()], "pad": ""}
    batch["pad"] = "x" * (800 - len(json.dumps(batch)))
    assert host.from_page(json.dumps(batch), path=BATCH).status == 200
    assert host.from_page(json.dumps(batch) + " ", path=BATCH).status == 413
    assert len(host.rows()) == 3


def test_a_batch_may_have_one_mib(host: Host) -> None:
    padding = json.dumps({"events": [an_event()], "pad": ""})
    body = padding.replace('"pad": ""', '"pad": "' + "x" * (1_048_576 - len(padding)) + '"')
    assert host.from_server(body, path=BATCH).status == 200
    assert host.from_server(body + " ", path=BATCH).status == 413


def test_compressed_bodies_are_refused(host: Host) -> None:
    import gzip

    for encoding in ("gzip", "GZIP", "deflate", "br", "gzip, gzip", "identity, gzip", "x"):
        reply = host.from_page(gzip.compress(raw().encode()), headers={"Content-Encoding": encoding})
        assert reply.status == 415, encoding
    assert host.from_page(raw(), headers={"Content-Encoding": "identity"}).status == 200
    assert len(host.rows()) == 1


@pytest.mark.parametrize("content_type", ["application/json", "text/plain;charset=UTF-8", "application/octet-stream"])
def test_the_body_is_json_whatever_its_content_type_says(host: Host, content_type: str) -> None:
    headers = {"Content-Type": content_type, "Authorization": f"Bearer {PRIVATE}"}
    assert host.request("POST", EVENTS, headers=headers, body=raw()).status == 200
    assert host.request("POST", EVENTS, headers=headers, body="a=1").status == 422
