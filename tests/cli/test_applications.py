"""How each command line finds its application."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import APPS, SCRIPTS, Django, Flask, Plain

TK = str(SCRIPTS / "tk-analytics")


@pytest.mark.parametrize(
    "line",
    [
        ("--app", "plain_shop:analytics", "deliver", "--once"),
        ("deliver", "--app", "plain_shop:analytics", "--once"),
        ("deliver", "--once", "--app=plain_shop"),  # its analytics
        ("--app", "nonsense", "deliver", "--app", "plain_shop:analytics", "--once"),
    ],
    ids=" ".join,
)
def test_the_application_is_named_before_or_behind_the_command(tmp_path: Path, line: tuple[str, ...]) -> None:
    shop = Plain(tmp_path)
    [event_id] = shop.record("s")
    run = shop.here(*line)
    assert run.returncode == 0, run.stderr
    assert shop.notes() == [f"async {event_id}", f"plain {event_id}"]


@pytest.mark.parametrize("line", [(TK,), (sys.executable, "-m", "tk_analytics_mw")], ids=["script", "module"])
def test_it_is_a_script_and_a_module(tmp_path: Path, line: tuple[str, ...]) -> None:
    shop = Plain(tmp_path)
    [event_id] = shop.record("s")
    run = shop.run(*line, "deliver", "--app", "plain_shop:analytics", "--once")
    assert run.returncode == 0, run.stderr
    assert shop.notes() == [f"async {event_id}", f"plain {event_id}"]


def test_the_environment_may_name_it(tmp_path: Path) -> None:
    shop = Plain(tmp_path)
    [event_id] = shop.record("s")
    assert shop.here("deliver", "--once", TK_ANALYTICS_APP="plain_shop:analytics").returncode == 0
    assert shop.notes() == [f"async {event_id}", f"plain {event_id}"]
    assert shop.here("--app", "nonsense", "deliver", TK_ANALYTICS_APP="plain_shop:analytics").returncode == 2


@pytest.mark.parametrize("name", ["flask_app:app", "flask_app:analytics"])
def test_a_flask_application_does_as_well_as_its_analytics(tmp_path: Path, name: str) -> None:
    shop = Flask(tmp_path)
    [event_id] = shop.record("s")
    run = shop.run(TK, "deliver", "--once", "--app", name)
    assert run.returncode == 0, run.stderr
    assert shop.notes() == [f"async {event_id}", f"plain {event_id}"]


def test_a_delivery_that_finds_no_flask_application_waits_and_the_log_says_why(tmp_path: Path) -> None:
    shop = Flask(tmp_path)
    shop.record("s")
    run = shop.run(TK, "deliver", "--once", "--app", "flask_shop:analytics")  # nobody has called create_app()
    assert run.returncode == 0
    assert "outside of application context" in run.stderr
    assert shop.counts()["plain"]["failed"] == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_such_module:analytics", "cannot import 'no_such_module'"),
        ("plain_shop:no_such_name", "'plain_shop' has no 'no_such_name'"),
        ("plain_shop:unrelated", "'plain_shop:unrelated' is of type int"),
        ("plain_shop:", "'plain_shop' has no ''"),
        (":analytics", "':analytics' is no MODULE:NAME"),
        ("./plain_shop.py:analytics", "is no MODULE:NAME"),
        ("", "Which application?"),
        (None, "Which application?"),
    ],
)
def test_a_wrong_name_ends_with_2_and_says_why(tmp_path: Path, name: str | None, told: str) -> None:
    option = [] if name is None else ["--app", name]
    run = Plain(tmp_path).here(*option, "deliver", "--once")
    assert run.returncode == 2, run.stderr
    assert told in run.stderr


@pytest.mark.parametrize("command", [["deliver", "--once"], ["deliveries", "list"]], ids=" ".join)
def test_a_storage_without_deliveries_ends_with_1(tmp_path: Path, command: list[str]) -> None:
    run = Plain(tmp_path).here("--app", "storage_without_outbox:analytics", *command)
    assert run.returncode == 1
    assert "Nowhere has no outbox" in run.stderr


def test_a_wrong_setting_ends_with_1(tmp_path: Path) -> None:
    run = Plain(tmp_path).tk("deliver", "--once", TK_ANALYTICS_QUEUE_LIMIT="many")
    assert run.returncode == 1
    assert "TK_ANALYTICS_QUEUE_LIMIT" in run.stderr
    assert "Traceback" not in run.stderr


# Flask


def test_flask_s_own_application_counts_whatever_the_environment_says(tmp_path: Path) -> None:
    shop = Flask(tmp_path)
    [event_id] = shop.record("s")
    assert shop.tk("deliver", "--once", TK_ANALYTICS_APP="plain_shop:unrelated").returncode == 0
    assert shop.notes() == [f"async {event_id}", f"plain {event_id}"]


def test_a_flask_application_without_us_is_told_so(tmp_path: Path) -> None:
    flask = str(SCRIPTS / "flask")
    run = Flask(tmp_path).run(flask, "--app", "flask_shop:without_analytics", "tk-analytics", "deliver")
    assert run.returncode == 1
    assert "analytics.init_app(app) was not called" in run.stderr


def test_flask_lists_the_commands(tmp_path: Path) -> None:
    run = Flask(tmp_path).run(str(SCRIPTS / "flask"), "--app", "flask_shop:create_app", "--help")
    assert "tk-analytics" in run.stdout


# Django


def test_django_s_own_options_hold(tmp_path: Path) -> None:
    shop = Django(tmp_path)
    [event_id] = shop.record("s")
    run = shop.run(
        sys.executable, "django_project/manage.py", "tk_analytics", "deliver", "--once", "--settings=settings",
        "--pythonpath", str(APPS), folder=APPS,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert shop.notes() == [f"async {event_id}", f"plain {event_id}"]
    run = shop.tk("deliver", "--once", "--settings", "other_settings")
    assert run.returncode == 1
    assert "NO_SUCH_SETTING" in run.stderr


CALL = """
import io, os, threading
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
import django
django.setup()
from django.core.management import CommandError, call_command

out, err = io.StringIO(), io.StringIO()
thread = threading.Thread(target=call_command, args=("tk_analytics", "deliver", "--once"), kwargs={"stderr": err})
thread.start()
thread.join()
call_command("tk_analytics", "deliver", "--once", stderr=err)
assert err.getvalue().count("delivering to plain, async") == 2, err.getvalue()
call_command("tk_analytics", "deliveries", "list", "--name", "plain", stdout=out)
assert out.getvalue().startswith("delivered"), out.getvalue()
for arguments, told in ((["deliveries", "show", "x:y"], "no delivery"), (["deliveries", "replay"], "Which ones?")):
    try:
        call_command("tk_analytics", *arguments)
    except CommandError as error:
        assert told in str(error), error
    else:
        raise SystemExit("no error")
"""


def test_call_command(tmp_path: Path) -> None:
    shop = Django(tmp_path)
    [event_id] = shop.record("s")
    run = shop.run(sys.executable, "-c", CALL)
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    assert shop.notes() == [f"async {event_id}", f"plain {event_id}"]


def test_the_django_app_asks_for_no_migration(tmp_path: Path) -> None:
    shop = Django(tmp_path)
    for command in (("check", "--fail-level", "WARNING"), ("makemigrations", "--check", "tk_analytics")):
        run = shop.run(sys.executable, "manage.py", *command)
        assert run.returncode == 0, run.stdout + run.stderr
