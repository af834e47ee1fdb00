"""The commands; those that find their application by each of the three command lines, in processes of their own."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest

from tests.cli.conftest import Django, Shop

Eventually = Callable[[Callable[[], object]], None]


def test_deliver_once_calls_what_is_due_and_ends(shop: Shop) -> None:
    ids = shop.record("s-1", "s-2")
    assert shop.notes() == []
    run = shop.tk("deliver", "--once")
    assert run.returncode == 0
    assert "delivering to plain, async" in run.stderr
    expected = sorted(f"{name} {event_id}" for event_id in ids for name in ("plain", "async"))
    assert shop.notes() == expected
    assert shop.counts() == {name: {"delivered": 2} for name in ("plain", "async")}
    assert shop.tk("deliver", "--once").returncode == 0
    assert shop.notes() == expected, "delivered once"


def test_deliver_runs_until_it_is_told_to_stop_and_lets_a_call_end(shop: Shop, eventually: Eventually) -> None:
    number = signal.SIGINT if isinstance(shop, Django) else signal.SIGTERM
    with shop.begin("deliver") as process:
        try:
            [event_id] = shop.record("slow")
            eventually(lambda: "begun" in shop.notes())
            process.send_signal(number)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, told
    assert f"plain {event_id}" in shop.notes()
    assert shop.counts()["plain"] == {"delivered": 1}


def test_see_and_act(plain_shop: Shop) -> None:
    shop = plain_shop
    first, second = shop.record("fail", "s-2")
    shop.done("deliver", "--once")
    counts = shop.counts()
    assert counts["plain"] == {"pending": 1, "failed": 1, "delivered": 1, "oldest_event": first}
    assert "1 pending (1 failed before), the oldest of 20" in shop.done("deliveries", "counts")

    listed = [json.loads(line) for line in shop.done("deliveries", "list", "--json").splitlines()]
    assert {(row["name"], row["event_id"], row["state"]) for row in listed} == {
        ("plain", first, "retrying"),
        ("async", first, "delivered"),
        ("plain", second, "delivered"),
        ("async", second, "delivered"),
    }
    assert [row["event_id"] for row in listed] == [second, second, first, first], "the newest first"
    assert len(shop.done("deliveries", "list", "--limit", "3").splitlines()) == 3
    assert shop.done("deliveries", "list", "--older-than", "1d") == ""
    chosen = shop.done("deliveries", "list", "--name", "plain", "--state", "retrying", "--event", first)
    assert chosen.split(maxsplit=3) == ["retrying", "1", f"plain:{first}", "the mail server is away\n"]

    shown = json.loads(shop.done("deliveries", "show", f"plain:{first}"))
    assert (shown["state"], shown["attempts"], shown["error"]) == ("retrying", 1, "the mail server is away")
    assert shown["first_tried_at"].endswith("+00:00")

    assert shop.done("deliveries", "discard", f"plain:{first}", "--why", "the shopper is gone") == "1 discarded\n"
    assert json.loads(shop.done("deliveries", "show", f"plain:{first}"))["error"] == "the shopper is gone"
    assert shop.done("deliveries", "replay", "--name", "async") == "2 to be delivered again\n"
    assert shop.counts()["async"]["pending"] == 2
    shop.done("deliver", "--once")
    assert [note for note in shop.notes() if note == f"async {first}"] == [f"async {first}"] * 2


def test_a_durable_function_is_switched_off_and_on(plain_shop: Shop) -> None:
    shop = plain_shop
    assert shop.done("deliveries", "disable", "plain", "--why", "maintenance") == "plain is off\n"
    [event_id] = shop.record("s-1")
    shop.done("deliver", "--once")
    assert shop.notes() == [f"async {event_id}"]
    assert shop.counts()["plain"] == {"pending": 1, "oldest_event": event_id, "off": "maintenance"}
    assert "SWITCHED OFF: maintenance" in shop.done("deliveries", "counts")
    assert shop.done("deliveries", "enable", "plain") == "plain is on\n"
    shop.done("deliver", "--once")
    assert shop.notes() == [f"async {event_id}", f"plain {event_id}"]


@pytest.mark.parametrize(
    ("code", "arguments", "told"),
    [
        (1, ["deliveries", "enable", "no-such-name"], "there is no durable hook 'no-such-name'"),
        (1, ["deliveries", "disable", "no-such-name"], "there is no durable hook 'no-such-name'"),
        (2, ["deliveries", "replay"], "Which ones?"),
        (2, ["deliveries", "discard"], "Which ones?"),
        (2, ["deliveries", "list", "--older-than", "soon"], "90s, 15m, 6h or 30d"),
        (2, ["deliveries", "list", "--state", "lost"], "lost"),
        (2, ["deliveries", "list", "--limit", "0"], "--limit"),
        (2, ["deliver", "--twice"], "--twice"),
        (2, ["explode"], "explode"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_work_is_told_on_the_error_stream(
    plain_shop: Shop, code: int, arguments: list[str], told: str
) -> None:
    run = plain_shop.tk(*arguments)
    assert (run.returncode, run.stdout) == (code, "")
    assert told in run.stderr
    assert "Traceback" not in run.stderr


def test_each_command_line_has_help_and_exit_codes(shop: Shop) -> None:
    told = shop.done("--help")
    assert "deliver " in told
    assert "deliveries " in told
    for code, arguments in ((1, ("deliveries", "show", "plain:x")), (2, ("deliveries", "replay"))):
        run = shop.tk(*arguments)
        assert run.returncode == code, run.stderr
        assert "Traceback" not in run.stderr
