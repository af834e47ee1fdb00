"""What only WSGI has: bodies whose end is known or not, and iterables that want to be closed."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.base import EVENTS, PRIVATE, an_event, default_options, stored_events
from tests.hosts.wsgi_face import WsgiApp, call_wsgi, environ_of, wsgi_shop
from tk_analytics_mw import Analytics

AS_SERVER = {"Authorization": f"Bearer {PRIVATE}", "Host": "shop.test"}
BODY = json.dumps(an_event()).encode()


@pytest.fixture
def analytics(tmp_path: Path) -> Iterator[Analytics]:
    made = Analytics(storage=f"sqlite:///{tmp_path}/analytics.db", **default_options())
    yield made
    made.close()


def stored(tmp_path: Path) -> int:
    with closing(sqlite3.connect(tmp_path / "analytics.db")) as connection:
        count: int = connection.execute("SELECT count(*) FROM events").fetchone()[0]
        return count


class Wire(io.RawIOBase):
    """A connection: what is beyond the body never comes, so to read it is to hang.

    Args:
        body: what the client sends.
        step: bytes that arrive at once.
    """

    def __init__(self, body: bytes, *, step: int = 1000, ends: bool = False) -> None:
        self._rest = body
        self._step = step
        self._ends = ends

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "a bare read() hangs on servers that do not end the stream"
        if not self._rest:
            assert self._ends, "read beyond the body: this hangs"
            return b""
        size = min(size, self._step)
        chunk, self._rest = self._rest[:size], self._rest[size:]
        return chunk


def post(analytics: Analytics, body: Any, **environ: Any) -> int:
    made = environ_of("POST", EVENTS, "", AS_SERVER, b"")
    made["wsgi.input"] = body if hasattr(body, "read") else Wire(body)
    made["CONTENT_LENGTH"] = str(len(BODY))
    made.update(environ)
    return call_wsgi(
        analytics.wsgi(wsgi_shop), {name: value for name, value in made.items() if value is not None}
    ).status


def test_exactly_the_content_length_is_read_in_as_many_pieces_as_it_takes(analytics: Analytics) -> None:
    assert post(analytics, Wire(BODY)) == 200
    assert post(analytics, Wire(BODY, step=7)) == 200
    assert post(analytics, Wire(BODY + b"GET / HTTP/1.1")) == 200


def test_a_chunked_body_is_read_to_its_end_when_the_server_terminates_it(analytics: Analytics) -> None:
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    for length in (None, ""):
        assert post(analytics, Wire(BODY, ends=True), CONTENT_LENGTH=length, **chunked) == 200
        large = json.dumps(an_event(eventMetadata={"a": "x" * 65_536})).encode()
        assert post(analytics, Wire(large, ends=True), CONTENT_LENGTH=length, **chunked) == 413
        assert post(analytics, Wire(b"", ends=True), CONTENT_LENGTH=length, **chunked) == 422


def test_a_chunked_body_of_exactly_the_limit_passes(tmp_path: Path) -> None:
    analytics = Analytics(storage=f"sqlite:///{tmp_path}/a.db", max_body_bytes=len(BODY), **default_options())
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": None}
    assert post(analytics, Wire(BODY, ends=True), **chunked) == 200
    assert post(analytics, Wire(BODY + b" ", ends=True), **chunked) == 413
    analytics.close()


def test_a_body_whose_end_cannot_be_known_is_411(analytics: Analytics) -> None:
    for length in (None, ""):
        assert post(analytics, Wire(BODY), CONTENT_LENGTH=length, HTTP_TRANSFER_ENCODING="chunked") == 411


def test_no_content_length_is_no_body(analytics: Analytics) -> None:
    for length in (None, "", "0"):
        assert post(analytics, Wire(b""), CONTENT_LENGTH=length) == 422


@pytest.mark.parametrize("length", ["x", "-1", "1.5", "+5", "1e3", "0x10", "٣", "²", " 5", "5, 5", "1_0"])
def test_a_content_length_that_is_no_number_is_a_clients_error(
    analytics: Analytics, tmp_path: Path, length: str
) -> None:
    status = post(analytics, Wire(BODY), CONTENT_LENGTH=length.encode().decode("latin-1"))
    assert 400 <= status < 500
    assert stored_events(tmp_path / "analytics.db") == []


def test_a_content_length_beyond_the_limit_is_refused_unread(analytics: Analytics) -> None:
    class Unread:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("nothing of it may be read")

    for length in (65_537, 10**9, "9" * 400, "9" * 5000):
        assert post(analytics, Unread(), CONTENT_LENGTH=str(length)) == 413


def test_a_body_that_ends_too_soon_stores_nothing(analytics: Analytics, tmp_path: Path) -> None:
    assert post(analytics, Wire(BODY, ends=True), CONTENT_LENGTH=str(len(BODY) + 10)) == 400
    assert stored_events(tmp_path / "analytics.db") == []


def test_a_connection_that_breaks_within_the_body_is_no_exception_of_the_host(analytics: Analytics) -> None:
    class Broken:
        def read(self, size: int = -1) -> bytes:
            raise OSError("connection reset")

    assert post(analytics, Broken()) >= 400


def test_the_body_of_a_request_that_is_refused_by_its_path_is_not_read(analytics: Analytics) -> None:
    class Unread:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("nothing of it may be read")

    for path, method, status in (("/api/analytics/nothing", "POST", 404), (EVENTS, "PUT", 405)):
        environ = environ_of(method, path, "", AS_SERVER, BODY)
        environ["wsgi.input"] = Unread()
        assert call_wsgi(analytics.wsgi(wsgi_shop), environ).status == status


def test_paths_that_are_no_utf_8_are_somebody_elses_or_404(analytics: Analytics) -> None:
    app = analytics.wsgi(wsgi_shop)
    assert call_wsgi(app, environ_of("POST", "/\xff", "", AS_SERVER, BODY)).status == 200
    assert call_wsgi(app, environ_of("POST", "/api/analytics/\xff\xfe", "", AS_SERVER, BODY)).status == 404


class Counting:
    """An iterable body that counts how it is treated."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from (b"a", b"b")

    def close(self) -> None:
        self.closed += 1


def test_the_hosts_iterable_is_passed_on_itself_and_closed_once(analytics: Analytics) -> None:
    body = Counting()

    def host(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return body

    app = analytics.wsgi(host)
    answer = app(environ_of("GET", "/", "", {}, b""), lambda *args: None)
    assert answer is body
    assert call_wsgi(app, environ_of("GET", "/", "", {}, b"")).body == b"ab"
    assert body.closed == 1


def test_environ_and_start_response_reach_the_host_untouched(analytics: Analytics) -> None:
    got: list[Any] = []

    def host(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        got.extend([environ, start_response])
        return []

    environ = environ_of("GET", "/cart", "a=1", {}, b"")
    before = dict(environ)

    def start_response(*args: Any) -> None: ...

    analytics.wsgi(host)(environ, start_response)
    assert got[0] is environ
    assert got[1] is start_response
    assert environ == before


def test_an_exception_of_the_host_is_the_servers(analytics: Analytics) -> None:
    def host(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call_wsgi(analytics.wsgi(host), environ_of("GET", "/", "", {}, b""))


def hosts_answers() -> dict[str, WsgiApp]:
    def streaming(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        write = start_response("206 Odd Phrase", [("X-A", "1"), ("x-a", "2"), ("Content-Type", "text/weird")])
        write(b"written;")
        yield b"one;"
        yield b""
        yield environ["wsgi.input"].read(4)

    def empty(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("304 Not Modified", [("ETag", '"x"')])
        return []

    def started_twice(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("X-A", "1")])
        start_response("500 Oops", [("X-B", "1")], (ValueError, ValueError(), None))
        return [b"oops"]

    return {"streaming": streaming, "empty": empty, "started twice": started_twice, "shop": wsgi_shop}


@pytest.mark.parametrize("name", hosts_answers())
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_the_hosts_answers_are_the_same_with_and_without_us(analytics: Analytics, name: str, method: str) -> None:
    app = hosts_answers()[name]
    with_us, without_us = (
        call_wsgi(each, environ_of(method, "/stream", "", {}, b"body")) for each in (analytics.wsgi(app), app)
    )
    assert with_us == without_us


def test_after_hooks_run_once_whether_the_server_exhausts_or_only_closes(analytics: Analytics) -> None:
    seen: list[str] = []
    analytics.on()(lambda event: seen.append(event.id))
    app = analytics.wsgi(wsgi_shop)
    call_wsgi(app, environ_of("POST", EVENTS, "", AS_SERVER, BODY))
    assert len(seen) == 1
    answer = app(environ_of("POST", EVENTS, "", AS_SERVER, BODY), lambda *args: None)
    assert len(seen) == 1
    answer.close()  # type: ignore[attr-defined]
    answer.close()  # type: ignore[attr-defined]
    assert len(seen) == 2


def test_without_a_host_everything_else_is_404(analytics: Analytics) -> None:
    app = analytics.wsgi()
    assert call_wsgi(app, environ_of("GET", "/", "", {}, b"")).status == 404
    assert call_wsgi(app, environ_of("POST", EVENTS, "", AS_SERVER, BODY)).status == 200
