"""Whatever is sent: never a 5xx, never half an event, never a row that others cannot read.

Thousands of generated requests go through each protocol, over one application and, under ASGI, one loop.
Negative controls are at the end: what these checks let through must not be everything.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.hosts.asgi_faces import asgi_shop, exchange, reply_of, scope_of
from tests.hosts.base import BATCH, EVENTS, PRIVATE, PUBLIC, SHOP, Reply, an_event, default_options
from tests.hosts.wsgi_face import call_wsgi, environ_of, wsgi_shop
from tk_analytics_mw import Analytics

BYTES, AN_EVENT, A_BATCH, A_HEAD = 1000, 800, 250, 500
"""Examples of each property, for both protocols: 5,100 together. A batch is of three events on average."""

hostile = partial(settings, deadline=None, database=None, derandomize=False, suppress_health_check=list(HealthCheck))
Headers = dict[str, str]


class Send(Protocol):
    """Sends a request through one protocol."""

    def __call__(self, method: str, path: str, query: str, headers: Headers, body: bytes) -> Reply: ...


class Door:
    """One application behind one protocol, and an account of what it stores."""

    def __init__(self, send: Send, database: Path) -> None:
        self._send = send
        self._connection = sqlite3.connect(database)
        self._connection.row_factory = sqlite3.Row
        self._last = 0
        self.statuses: Counter[int] = Counter()

    def post(self, path: str, body: bytes, **headers: str) -> tuple[Reply, list[sqlite3.Row]]:
        head = {"Authorization": f"Bearer {PRIVATE}", "Host": "shop.test", **headers}
        return self.send("POST", path, "", head, body)

    def send(
        self, method: str, path: str, query: str, headers: Headers, body: bytes
    ) -> tuple[Reply, list[sqlite3.Row]]:
        """Send a request; give its answer and the rows that came with it, having checked both by themselves."""
        reply = self._send(method, path, query, headers, body)
        self.statuses[reply.status] += 1
        assert reply.status < 500
        if reply.body:
            strict(reply.body.decode())
        rows = self._connection.execute(
            "SELECT *, json_valid(event_metadata) AS metadata_is_valid, "
            "json_valid(configuration) AS configuration_is_valid FROM events WHERE position > ? ORDER BY position",
            [self._last],
        ).fetchall()
        if rows:
            self._last = rows[-1]["position"]
        for row in rows:
            check_row(row)
        return reply, rows

    def holds(self, id_: str) -> bool:
        return bool(self._connection.execute("SELECT 1 FROM events WHERE id = ?", [id_]).fetchone())

    def close(self) -> None:
        self._connection.close()


def strict(text: str) -> Any:
    """Read JSON as the standard has it."""

    def no_constant(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), "a key twice"
        return dict(pairs)

    return json.loads(text, parse_constant=no_constant, object_pairs_hook=unique)


def check_row(row: sqlite3.Row) -> None:
    for name in ("event_metadata", "configuration"):
        if row[name] is not None:
            assert isinstance(strict(row[name]), dict)
            assert row[f"{name.removeprefix('event_')}_is_valid"] == 1
    for name in row.keys():  # noqa: SIM118 - iterating over a row gives its values
        if isinstance(row[name], str):
            assert "\x00" not in row[name]
            row[name].encode()
    assert isinstance(row["metric"], float)
    assert row["metric"] - row["metric"] == 0, "not finite"


def check_same(event: dict[str, Any], row: sqlite3.Row) -> None:
    """The answer is what is stored."""
    assert event["id"] == row["id"]
    for name, column in (("orgId", "org_id"), ("sessionId", "session_id"), ("assetId", "asset_id")):
        assert event.get(name) == row[column]
    assert event["metric"] == row["metric"]
    stored = None if row["event_metadata"] is None else strict(row["event_metadata"])
    assert event.get("eventMetadata") == stored


def check_create(door: Door, body: bytes) -> None:
    reply, rows = door.post(EVENTS, body)
    assert reply.status in (200, 403, 413, 422)
    assert len(rows) == (1 if reply.status == 200 else 0)
    if rows:
        check_same(reply.json, rows[0])


def check_batch(door: Door, body: bytes) -> None:
    reply, rows = door.post(BATCH, body)
    assert reply.status in (200, 413, 422)
    results = reply.json["results"] if reply.status == 200 else []
    assert {result["status"] for result in results} <= {200, 403, 422}
    events = [result["event"] for result in results if result["status"] == 200]
    assert len(events) == len(rows)
    for event, row in zip(events, rows, strict=True):
        check_same(event, row)


# The doors


def options(directory: Path) -> dict[str, Any]:
    return {**default_options(), "storage": f"sqlite:///{directory}/analytics.db", "durability": "relaxed"}


def through_wsgi(analytics: Analytics) -> Iterator[Send]:
    app = analytics.wsgi(wsgi_shop)
    yield lambda method, path, query, headers, body: call_wsgi(app, environ_of(method, path, query, headers, body))


def through_asgi(analytics: Analytics) -> Iterator[Send]:
    app = analytics.asgi(asgi_shop)
    with start_blocking_portal() as portal:

        def send(method: str, path: str, query: str, headers: Headers, body: bytes) -> Reply:
            scope = scope_of(method, path, query, headers.items())
            return reply_of(portal.call(exchange, app, scope, [{"type": "http.request", "body": body}]))

        yield send


@pytest.fixture(scope="module", params=[through_wsgi, through_asgi], ids=["wsgi", "asgi"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("hostile")
    analytics = Analytics(**options(directory))
    analytics.record("product cart-add", org_id="acme", session_id="opens the file")
    through: Callable[[Analytics], Iterator[Send]] = request.param
    for send in through(analytics):
        made = Door(send, directory / "analytics.db")
        made.post(EVENTS, b"")
        made.post(EVENTS, json.dumps(an_event()).encode())
        yield made
        made.close()
    analytics.close()


# What is sent, as text: most of it is something that a JSON library would not write

ODD_SCALARS = [
    *("null", "true", "false", "NaN", "Infinity", "-Infinity", "-nan", "undefined", "'x'", ""),
    *("1e400", "-1e400", "1e-400", "-0", "-0.0", "01", "1.", ".5", "+1", "0x10", "1_000"),
    *(str(2**63 - 1), str(2**63), str(-(2**63)), str(-(2**63) - 1), "1" + "0" * 400, "9" * 5000),
    *('"\\u0000"', '"a\\u0000b"', '"\x00"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\x"', '"\t"'),
    *('""', '" "', '"\\u202e"', '"\ufeff"', '"' + "x" * 201 + '"', '"' + "ü" * 40_000 + '"'),
    *("[" * 40 + "]" * 40, '{"a":' * 40 + "1" + "}" * 40, "[" * 31 + "]" * 31, "[" * 20_000, "[]" * 2),
    *('{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', '{"":0}', '{"\\u0000":0}', '{"\\ud800":0}', '{"__proto__":{}}'),
    *('"product cart-add"', '"production ORDERED"', '"acme"', '"rival"', '"abcdefg"', "2.5"),
]
FIELDS = [
    *("eventType", "orgId", "sessionId", "eventMetadata", "assetId", "userId", "configId", "configuration"),
    *("device", "metric", "id", "createdAt", "spelling", "idempotencyKey", "event_type", "org_id", "userAgent", "x"),
]
VALID = {"eventType": '"product cart-add"', "orgId": '"acme"', "sessionId": '"s"'}

scalars = st.one_of(
    st.sampled_from(ODD_SCALARS),
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.text().map(json.dumps),
    st.text(alphabet=st.characters(), max_size=20).map(partial(json.dumps, ensure_ascii=False)),
)
keys = st.one_of(st.sampled_from(["a", "b", "\x00", "\ud800"]), st.text(max_size=5)).map(json.dumps)


def an_array(items: list[str]) -> str:
    return f"[{','.join(items)}]"


def an_object(pairs: Sequence[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(an_array), st.lists(st.tuples(keys, inner), max_size=4).map(an_object)
    ),
    max_leaves=8,
)


@st.composite
def events(draw: st.DrawFn) -> str:
    """Nearly an event: some fields odd, missing or there twice."""
    fields = {name: text for name, text in VALID.items() if draw(st.integers(0, 15))}
    if draw(st.booleans()):
        fields["eventMetadata"] = an_object([('"a"', draw(values))])
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        fields[name] = draw(values)
    pairs = [(json.dumps(name), text) for name, text in fields.items()]
    if draw(st.integers(0, 19)) == 0:
        pairs.append((json.dumps(draw(st.sampled_from(FIELDS))), draw(scalars)))
    return an_object(pairs)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # bytes that are no UTF-8, as some clients send them


# The properties


@hostile(max_examples=BYTES)
@given(
    body=st.one_of(
        st.binary(max_size=200), values.map(encoded), values.map(lambda text: text.encode("utf-16", "surrogatepass"))
    )
)
def test_any_bytes_are_refused_or_stored(door: Door, body: bytes) -> None:
    check_create(door, body)
    check_batch(door, body)


@hostile(max_examples=AN_EVENT)
@given(event=events())
def test_anything_like_an_event_is_refused_or_stored(door: Door, event: str) -> None:
    check_create(door, encoded(event))


@hostile(max_examples=A_BATCH)
@given(
    items=st.lists(st.one_of(events(), values), max_size=6).map(an_array),
    wrap=st.sampled_from(['{{"events":{}}}', '{{"events":{},"x":1}}', '{{"events":{},"events":[]}}', "{}"]),
)
def test_anything_like_a_batch_is_refused_or_stored(door: Door, items: str, wrap: str) -> None:
    check_batch(door, encoded(wrap.format(items)))


LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=60)
HEADERS: dict[str, list[str]] = {
    "Authorization": [
        f"Bearer {PRIVATE}",
        f"bearer  {PRIVATE}",
        f"Bearer {PUBLIC}",
        "Bearer",
        "Basic eDp5",
        "Bearer ü",
    ],
    "Origin": [SHOP, "null", "https://", "http://[", "https://shop.example.com:99999", "https://xn--.example.org"],
    "Referer": [f"{SHOP}/a?b#c", "https://[::1", "://", "https://user:secret@shop.example.com/", "x" * 5000],
    "Host": ["shop.test", "", "[::1]:80", "a b", "shop.test:99999999", "xn--a.test", "ü"],
    "User-Agent": ["", "Mozilla/5.0 (Windows NT 6.1; rv:47.0) Gecko/20100101 Firefox/47.0", "(" * 2000, "x" * 9000],
    "Idempotency-Key": ["key", "", "a b", "k" * 201, "ü"],
    "Content-Type": ["application/json", "text/plain; charset=utf-7", "multipart/form-data", ";"],
    "Content-Encoding": ["identity", "gzip", "IDENTITY", ""],
    "Content-Length": ["", "0", "-1", "+5", "5", "1_0", "1e3", "9" * 30, "²", "99999999"],
    "Cookie": ["a=b", "=;;=", "a=" + "x" * 5000],
    "Access-Control-Request-Method": ["POST", "x"],
    "Access-Control-Request-Headers": ["content-type", "x-y, ,"],
    "X-Forwarded-Host": ["evil.example"],
    "X-Http-Method-Override": ["DELETE"],
}


def odd_header(name: str) -> st.SearchStrategy[str]:
    """The first of its values more often than the others: they would not get past it else."""
    return st.one_of(st.sampled_from([HEADERS[name][0]] * 12 + HEADERS[name]), LATIN)


QUERIES = [
    *(
        "",
        f"bearer_token={PUBLIC}",
        f"bearer_token={PRIVATE}",
        f"bearer_token={PUBLIC}&bearer_token=x",
        "bearer_token=",
    ),
    *("orgId=acme", "orgId=rival", "orgId=acme&orgId=rival", "orgId=%00", "orgId=%ff", "orgId=%ud800", "%", "&&=&;"),
    *("bearer%5ftoken=x", "orgId=" + "x" * 5000, "?" * 50),
]


@hostile(max_examples=A_HEAD)
@given(
    method=st.sampled_from(["POST"] * 8 + ["GET", "HEAD", "OPTIONS", "PUT", "BREW"]),
    path=st.one_of(
        st.sampled_from([EVENTS, BATCH, f"{EVENTS}/", "/api/analytics/healthcheck"]),
        LATIN.map(lambda text: f"/api/analytics/{text}"),
    ),
    query=st.one_of(st.sampled_from(QUERIES), LATIN, st.lists(st.sampled_from(QUERIES)).map("&".join)),
    headers=st.fixed_dictionaries(
        {"Host": odd_header("Host")}, optional={name: odd_header(name) for name in HEADERS if name != "Host"}
    ),
)
@example(
    method="POST", path=EVENTS, query="", headers={"Host": "shop.test", "Content-Length": "²"}
)  # a digit to Python
def test_any_head_is_answered(door: Door, method: str, path: str, query: str, headers: Headers) -> None:
    body = json.dumps(an_event() if path != BATCH else {"events": [an_event()]}).encode()
    reply, rows = door.send(method, path, query, {"Authorization": f"Bearer {PRIVATE}", **headers}, body)
    assert reply.status in (200, 204, 400, 401, 403, 404, 405, 411, 413, 415, 422)
    for row in rows:
        assert "secret" not in f"{row['referer']}{row['request_url']}"
        assert "?" not in f"{row['referer']}{row['request_url']}"
        assert row["org_id"] == "acme"
    if reply.status != 200 or method != "POST":
        assert rows == []
        return
    given = [result["event"] for result in reply.json["results"]] if path == BATCH else [reply.json]
    [event] = given
    assert door.holds(event["id"])
    # A key that was sent before gives the event of then.
    assert [row["id"] for row in rows] == [event["id"]] or (rows == [] and "Idempotency-Key" in headers)


def test_these_checks_see_what_is_wrong(door: Door) -> None:
    """Negative controls: among all of these were good ones and bad ones, and a bad row would be seen."""
    for body in (b"", json.dumps(an_event()).encode()):
        check_create(door, body)
    assert {200, 422} <= set(door.statuses)
    with pytest.raises(AssertionError):
        strict('{"a": NaN}')
    with pytest.raises(AssertionError):
        strict('{"a": 1, "a": 2}')
    event = {"id": "1", "orgId": "acme", "sessionId": "s", "metric": 1.0}
    _, [row] = door.post(EVENTS, json.dumps(an_event()).encode())
    with pytest.raises(AssertionError):
        check_same(event, row)


def test_good_ones_are_not_rare_among_what_is_generated(door: Door) -> None:
    """Without them the properties would say little about rows."""
    if sum(door.statuses.values()) < 2 * BYTES:
        pytest.skip("the properties did not run before this")
    assert door.statuses[200] > 200
    assert door.statuses[422] > 200
