"""Strict JSON: what is read, what is refused, and that it comes back as it was."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tk_analytics_mw.errors import InvalidEvent
from tk_analytics_mw.json_values import dump, load, problem


def acceptable(body: bytes) -> bool:
    """Whether a body passes, judged as a request's is: by what its text proves, and value by value where it must be."""
    try:
        parsed = load(body)
    except InvalidEvent:
        return False
    found = problem(parsed.value)
    # The short cut may never wave through what the whole walk objects to.
    assert found is None or not parsed.plain, found
    return found is None


def nested(depth: int, opening: str = "[", closing: str = "]", core: str = "") -> bytes:
    return (opening * depth + core + closing * depth).encode()


REFUSED = {
    "empty": b"",
    "blank": b" \n",
    "not JSON": b"{eventType: 1}",
    "something behind": b'{"a": 1} x',
    "two documents": b"{}{}",
    "a comma too many": b"[1,]",
    "single quotes": b"{'a': 1}",
    "a comment": b"{} // a",
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "invalid UTF-8": b'{"a": "\xff"}',
    "overlong UTF-8": b'{"a": "\xc0\x80"}',
    "surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "cut UTF-8": b'{"a": "\xc3"}',
    "NaN": b'{"a": NaN}',
    "Infinity": b"[Infinity]",
    "-Infinity": b"[-Infinity]",
    "1e400": b'{"a": 1e400}',
    "-1e400": b"[-1e400]",
    "2 ** 63": b"[9223372036854775808]",
    "-(2 ** 63) - 1": b"[-9223372036854775809]",
    "ten thousand digits": b"[" + b"9" * 10_000 + b"]",
    "plus": b"[+1]",
    "leading zero": b"[01]",
    "hexadecimal": b"[0x10]",
    "same key": b'{"a": 1, "a": 1}',
    "same key, deep": b'[{"b": {"a": 1, "c": 2, "a": 3}}]',
    "same key, escaped": rb'{"a": 1, "\u0061": 2}',
    "NUL escape": rb'{"a": "\u0000"}',
    "NUL escape in a key": rb'{"\u0000": 1}',
    "raw NUL": b'{"a": "\x00"}',
    "raw newline": b'{"a": "\n"}',
    "lone high surrogate": rb'["\ud800"]',
    "lone low surrogate": rb'["\udc00x"]',
    "lone surrogate in a key": rb'{"\udfff": 1}',
    "surrogates the wrong way round": rb'["\ude00\ud83d"]',
    "arrays 33 deep": nested(33),
    "objects 33 deep": nested(32, '{"a":', "}", "{}"),
    "objects and arrays 34 deep": nested(17, '[{"a":', "}]", "1"),
    "100,000 deep": nested(100_000),
    "100,000 open": b"[" * 100_000,
}

ACCEPTED = {
    "object": b'{"a": 1}',
    "scalar": b'"text"',
    "blanks around it": b" \r\n\t{ } \n",
    "2 ** 63 - 1": b"[9223372036854775807]",
    "-(2 ** 63)": b"[-9223372036854775808]",
    "greatest double": b"[1.7976931348623157e308]",
    "least double": b"[5e-324]",
    "minus zero": b"[-0.0]",
    "surrogate pair": rb'["\ud83d\ude00"]',
    "escaped backslash before u0000": rb'["\\u0000"]',
    "every plane": '["é漢😀\U0010ffff\u2028"]'.encode(),
    "BOM within a text": b'["\xef\xbb\xbf"]',
    "arrays 32 deep": nested(32),
    "objects 32 deep": nested(31, '{"a":', "}", "{}"),
    "brackets side by side": b"[" + b",".join([b"[{}]"] * 1000) + b"]",
    "brackets in a text": b'["' + b"[{" * 1000 + b'"]',
    "same key in two objects": b'[{"a": 1}, {"a": 1}]',
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_not_everybody_can_hold_is_refused(body: bytes) -> None:
    assert not acceptable(body)


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_what_everybody_can_hold_is_read_and_written_as_it_was(body: bytes) -> None:
    assert acceptable(body)
    value = load(body).value
    assert same(value, json.loads(body))
    assert same(json.loads(dump(value)), value)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"secret": 1, "secret": 2}', "json_duplicate_key"),
        (b'{"secret": tr}', "json_invalid"),
        (b"\xff", "json_invalid"),
    ],
)
def test_the_error_says_what_is_wrong_and_repeats_nothing(body: bytes, kind: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        load(body)
    assert [(error["loc"], error["type"]) for error in caught.value.errors] == [(["body"], kind)]
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__  # the parser's own error quotes the document


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "b" : {"c": [1.5, true, null]}, "d"\n:{}, "e"\t\r:[{"a":2}]}',
        b'{"page": "https://shop.example.com/", "at": "10:30", "note": "a: b"}',
    ],
)
def test_a_common_body_is_proven_plain_by_its_text(body: bytes) -> None:
    """Else the short cut would be none; which colons are those of keys is seen whatever stands around them."""
    assert load(body) == (json.loads(body), True)


@pytest.mark.parametrize("colon", [":", " :", "\t:", "\n:", "\r:", " \t :", "::"])
@pytest.mark.parametrize("text", ["", ":", ":)", "a :", '\\":', "https://a"])
def test_no_way_of_writing_it_hides_a_key_that_is_given_twice(colon: str, text: str) -> None:
    """Neither blanks before colons nor colons in texts make up for the key that the parser dropped."""
    assert not acceptable(f'{{"a"{colon}1, "b": "{text}", "a"{colon}2}}'.encode())


@pytest.mark.parametrize(
    "value",
    [{1: "a"}, {"a": {None: 1}}, {"a"}, b"bytes", [Ellipsis], 1j, float("nan"), [-math.inf], 2**63, "\x00", ["\ud800"]],
    ids=repr,
)
def test_values_of_host_code_that_json_has_not_are_found(value: object) -> None:
    assert problem(value)


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types: 1, 1.0 and True are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
# As other programs may write it, and as nobody should.
bodies = st.one_of(
    st.builds(
        lambda value, escaped: json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass"),
        values,
        st.booleans(),
    ),
    st.binary(max_size=20),
    st.text('{}[]":,0123456789eE+-.\\u \nadDfF', max_size=20).map(str.encode),
)


@given(body=bodies)
def test_whatever_is_accepted_comes_back_and_is_json_for_sqlite_too(database: sqlite3.Connection, body: bytes) -> None:
    if not acceptable(body):
        return
    value = load(body).value
    text = dump(value)
    assert same(load(text).value, value)
    [valid] = database.execute("SELECT json_valid(?)", [text.decode()]).fetchone()
    assert valid


@given(value=values)
def test_what_has_no_problem_can_be_sent_stored_and_read(database: sqlite3.Connection, value: object) -> None:
    if problem(value) is not None:
        return
    text = dump(value)
    assert acceptable(text)
    assert same(load(text).value, value)
    [stored] = database.execute("SELECT json_extract(?, '$[0]')", [f"[{text.decode()}]"]).fetchone()
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        assert stored == value
