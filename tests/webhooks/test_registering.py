"""What a webhook may be, and what is said of one that may not."""

from __future__ import annotations

import base64
import inspect
from typing import Any

import pytest

from tests.unit.making import run_script
from tests.webhooks.conftest import NEXT_SECRET, SECRET, Shop
from tk_analytics_mw import Analytics, ConfigurationError


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://hooks.example.com/?key=sesame", "https://"),
        ("ftp://hooks.example.com/?key=sesame", "https://"),
        ("hooks.example.com/?key=sesame", "https://"),
        ("//hooks.example.com/?key=sesame", "https://"),
        ("", "https://"),
        ("https://user:sesame@hooks.example.com/", "no user and password"),
        ("https://hooks.example.com@evil.example/", "no user and password"),
        ("https:///?key=sesame", "no host"),
        ("https://:443/?key=sesame", "no host"),
        ("https://hooks.example.com:0/?key=sesame", "no host and port"),
        ("https://hooks.example.com:99999/?key=sesame", "is not one"),
        ("https://hooks.example.com:sesame/", "is not one"),
        ("https://[::1/?key=sesame", "is not one"),
        ("https://hooks.example.com/ ?key=sesame", "is not one"),
        ("https://hooks.example.com/\r\nX: y", "is not one"),
        ("https://hooks.exa\tmple.com/", "is not one"),
        ("https://hooks.example.com\\@evil.example/", "is not one"),
        ("https://hooks.example.com./", "is no host"),
        ("https://hooks.example.com%2fevil/", "is no host"),
        ("https://[fe80::1%25eth0]/", "is no"),
        ("https://hooks.example.com/ä?key=sesame", "percent-encoded"),
    ],
)
def test_a_url_that_will_not_do(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^webhook 'erp': ") as caught:
        Analytics().webhook(url, secret=SECRET, name="erp")
    assert said in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "hunter2",
        SECRET.removeprefix("whsec_"),
        "whsec_",
        "whsec_not*base64*at*all*but*long*enough",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        SECRET.replace("whsec_", "whsk_"),
        SECRET + "\n",
        [],
        [SECRET, NEXT_SECRET, SECRET],
        [SECRET, "hunter2"],
        None,
        SECRET.encode(),
        [SECRET.encode()],
        42,
    ],
)
def test_a_secret_that_will_not_do(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^webhook 'erp': .*secret") as caught:
        Analytics().webhook("https://hooks.example.com/", secret=secret, name="erp")
    assert "hunter2" not in str(caught.value)
    assert "C2FVsBQI" not in str(caught.value)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_the_lengths_that_the_specification_allows(size: int) -> None:
    for text in (base64.b64encode(b"x" * size).decode(), base64.b64encode(b"x" * size).decode().rstrip("=")):
        Analytics().webhook("https://hooks.example.com/", secret=f"whsec_{text}", name="erp")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "a.b"}, "of letters, digits, _ -"),  # the signature is of id.timestamp.body
        ({"name": ""}, "needs a name"),
        ({"events": ["product orderd"]}, "'product orderd' is no event type"),
        ({"events": "product orderd"}, "'product orderd' is no event type"),
        ({"events": []}, "events names none"),
        ({"events": iter(())}, "events names none"),
        ({"events": ""}, "'' is no event type"),
        ({"total_timeout": 0}, "time-outs"),
        ({"connect_timeout": -1}, "time-outs"),
        ({"read_timeout": float("nan")}, "time-outs"),
        ({"read_timeout": 301}, "time-outs"),
        ({"durable": True}, "a webhook has no option 'durable'"),
        ({"retries": 3}, "a webhook has no option 'retries'"),
        ({"max_attempts": 0}, "max_attempts is 1 or more"),
        ({"since": "yesterday"}, "since is 'now' or 'all'"),
    ],
)
def test_an_option_that_will_not_do(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Analytics().webhook("https://hooks.example.com/", **{"secret": SECRET, "name": "erp", **options})
    assert said in str(caught.value)


def test_a_name_stands_for_one_webhook(shop: Shop) -> None:
    shop.webhook("https://hooks.example.com/")
    with pytest.raises(ConfigurationError, match="there is a durable hook 'erp' already"):
        shop.webhook("https://hooks.example.com/")


def test_a_storage_without_an_outbox_takes_no_webhooks() -> None:
    class Nowhere:
        def write(self, events: Any) -> None: ...
        def close(self) -> None: ...

    with pytest.raises(ConfigurationError, match="needs a storage with an outbox"):
        Analytics(storage=Nowhere()).webhook("https://hooks.example.com/", secret=SECRET, name="erp")


def test_it_is_shown_without_path_and_secret(shop: Shop) -> None:
    shop.webhook("https://Hooks.Example.com:8443/inbox?key=sesame")
    assert repr(shop.analytics.hooks.durable["erp"].function) == "<Webhook 'erp' to https://hooks.example.com:8443>"


@pytest.mark.parametrize("missing", ["httpcore2", "standardwebhooks"])
def test_an_extra_that_is_missing_is_named(missing: str) -> None:
    script = f"""
    import sys
    sys.modules[{missing!r}] = None
    from tk_analytics_mw import Analytics, ConfigurationError
    analytics = Analytics()
    try:
        analytics.webhook("https://hooks.example.com/", secret={SECRET!r}, name="erp")
    except ConfigurationError as error:
        print(error)
    """
    said = run_script(inspect.cleandoc(script))
    assert said == f'webhooks need {missing}: pip install "tk_analytics_mw[webhooks]"\n'


def test_registering_opens_and_starts_nothing() -> None:
    script = f"""
    import sys, threading
    watched = ("socket.__new__", "socket.getaddrinfo", "socket.connect", "open", "_thread.start_new_thread")
    from tk_analytics_mw import Analytics
    import tk_analytics_mw.webhooks
    analytics = Analytics()
    seen = []
    sys.addaudithook(lambda event, args: seen.append((event, args)) if event in watched else None)
    analytics.webhook("https://localhost/", secret={SECRET!r}, name="erp")
    assert not seen, seen
    """
    run_script(inspect.cleandoc(script))
