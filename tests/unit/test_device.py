"""From a User-Agent to the contract's ``device``."""

from __future__ import annotations

import random
import string
import time

import pytest

from tk_analytics_mw.device import MAX_USER_AGENT, device_of

KNOWN = {
    "Firefox on Windows 7": (
        "Mozilla/5.0 (Windows NT 6.1; WOW64; rv:47.0) Gecko/20100101 Firefox/47.0",
        "PC / Windows 7 / Firefox 47.0",
        "pc",
    ),
    "Chrome on a Mac": (
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/130.0.0.0 Safari/537.36"
        ),
        "PC / Mac OS X 10.15.7 / Chrome 130.0.0",
        "pc",
    ),
    "Safari on an iPhone": (
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/17.5 Mobile/15E148 Safari/604.1"
        ),
        "iPhone / iOS 17.5 / Mobile Safari 17.5",
        "mobile",
    ),
    "Chrome on Android": (
        (
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/126.0.0.0 Mobile Safari/537.36"
        ),
        "Pixel 8 / Android 14 / Chrome Mobile 126.0.0",
        "mobile",
    ),
    "Safari on an iPad": (
        (
            "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/16.6 Mobile/15E148 Safari/604.1"
        ),
        "iPad / iOS 16.6 / Mobile Safari 16.6",
        "tablet",
    ),
    "Googlebot": (
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Spider / Other / Googlebot 2.1",
        "bot",
    ),
    "curl": ("curl/8.5.0", "Other / Other / curl 8.5.0", "other"),
    "none": ("", "Other / Other / Other", "other"),
    "nonsense": ("x" * 10_000, "Other / Other / Other", "other"),
    "control characters": ("\x00\x1b[31m\r\n\x7f", "Other / Other / Other", "other"),
}


@pytest.mark.parametrize(("user_agent", "text", "kind"), KNOWN.values(), ids=KNOWN)
def test_a_device_is_described(user_agent: str, text: str, kind: str) -> None:
    device = device_of(user_agent)
    assert (device.text, device.type) == (text, kind)
    assert device.text == f"{device.family} / {device.system} / {device.browser}"


def test_a_device_that_is_seen_again_costs_next_to_nothing() -> None:
    user_agent = KNOWN["Chrome on Android"][0]
    first = device_of(user_agent)
    started = time.process_time()
    assert all(device_of(user_agent) is first for _ in range(1000))
    assert time.process_time() - started < 0.1  # parsing takes about a millisecond each


HOSTILE = {
    "digits": "Mozilla/5.0 (" + "1." * 5000,
    "spaces": "Mozilla/5.0 (Linux; Android" + " " * 10_000 + ")",
    "semicolons": "Mozilla/5.0 (Linux; U; Android 4.0" + "; x" * 4000,
    "slashes": "a/" * 5000,
    "one bracket after another": "(" * 10_000,
    "models": "Mozilla/5.0 (Linux; Android 9; " + "SM-" * 4000 + " Build/",
    "versions": "Version/" * 1200 + "Mobile Safari",
    "bots": "bot" * 3000 + "spider" * 200,
    "windows": "Windows NT " * 900,
    "noise": "".join(random.Random(1).choices(string.printable, k=10_000)),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_user_agent_takes_no_time(text: str) -> None:
    device_of("")  # imports the parser
    started = time.process_time()
    device_of(text)
    assert time.process_time() - started < 0.5
    # Nor does it by being another one each time, beyond what is looked at.
    assert device_of(text) is device_of(text[:MAX_USER_AGENT] + "further")
