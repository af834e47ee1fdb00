"""What of a request's URLs is kept: never a token, a password, or a character that spoils a log."""

from __future__ import annotations

import pytest

from tk_analytics_mw.messages import MAX_URL, Request, clean_url


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("https://shop.example.com/chair", "https://shop.example.com/chair"),
        ("https://shop.example.com/chair?bearer_token=secret", "https://shop.example.com/chair"),
        ("https://shop.example.com/chair#secret?x", "https://shop.example.com/chair"),
        ("https://shop.example.com?secret#x", "https://shop.example.com"),
        ("https://user:secret@shop.example.com/", "https://shop.example.com/"),
        ("HTTPS://secret@shop.example.com", "HTTPS://shop.example.com"),
        ("https://a@b:secret@shop.example.com/", "https://shop.example.com/"),
        ("android-app://secret@shop.example/", "android-app://shop.example/"),
        ("https://shop.example.com/@chair", "https://shop.example.com/@chair"),
        ("https://shop.example.com/a\r\nb\x00\x1b[31m\x7f", "https://shop.example.com/ab[31m"),
        ("https://us\ner:secret@shop.example.com/", "https://shop.example.com/"),
        ("?secret", ""),
        ("https://shop.example.com/" + "x" * 10_000, ("https://shop.example.com/" + "x" * 10_000)[:MAX_URL]),
    ],
    ids=lambda text: text[:40].encode("unicode-escape").decode(),
)
def test_a_url_is_kept_without_what_is_nobodys_business(text: str, kept: str) -> None:
    assert clean_url(text) == kept


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (b"", []),
        (b"bearer_token=a", ["a"]),
        (b"x=1&bearer_token=a&y=2", ["a"]),
        (b"bearer_token=a&bearer_token=b", ["a", "b"]),
        (b"bearer_token=", [""]),
        (b"bearer_token", []),
        (b"xbearer_token=a", []),
        (b"x=bearer_token=a", []),
        (b"bearer%5Ftoken=a", ["a"]),
        (b"bearer_token=a%20b", ["a b"]),
        (b"bearer_token=a+b", ["a b"]),
        (b"x=%41&bearer_token=a&bearer%5ftoken=b", ["a", "b"]),
        (b"bearer_token=a=b", ["a=b"]),
    ],
)
def test_a_query_parameter_is_found_however_it_is_written(query: bytes, values: list[str]) -> None:
    """There is a short way for the common form: it may not see more or less than the long one."""
    request = Request({"type": "http", "method": "GET", "path": "/", "query_string": query, "headers": []})
    assert [value for value in request.query("bearer_token") if value] == [value for value in values if value]
    assert [value for value in request.query_params.getlist("bearer_token") if value] == [v for v in values if v]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("shop.example.com", "http://shop.example.com/a"),
        ("shop.example.com:8000", "http://shop.example.com:8000/a"),
        ("[::1]:8000", "http://[::1]:8000/a"),
        ("user:secret@shop.example.com", None),
        ("shop.example.com/x?y", None),
        ("shop example", None),
        ("", None),
    ],
)
def test_a_request_url_is_made_of_a_host_that_is_one(host: str, url: str | None) -> None:
    headers = [(b"host", host.encode())]
    scope = {"type": "http", "method": "GET", "path": "/a", "query_string": b"bearer_token=x", "headers": headers}
    assert Request(scope).url_without_query == url
