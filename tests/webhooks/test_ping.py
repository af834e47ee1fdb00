"""``webhook ping`` in the three command lines, each in a process of its own; and a process that forks."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from standardwebhooks import Webhook

from tests.receiving import Receiver, hang_up, receiving, status
from tests.unit.making import ROOT, run_script
from tests.webhooks.conftest import SECRET

SHOP = f"""
from flask import Flask
from tk_analytics_mw import Analytics

analytics = Analytics()
analytics.webhook("https://localhost:{{port}}/inbox?key=sesame", secret="{SECRET}", name="erp", total_timeout=2)


@analytics.on(durable=True, name="mail")
def mail(event, delivery): ...


app = Flask("shop")
analytics.init_app(app)
"""
DJANGO = """
SECRET_KEY = "only-for-tests"
INSTALLED_APPS = ["tk_analytics_mw.django", "shop_of_django"]
"""
DJANGO_APP = f"""
from django.apps import AppConfig


class Shop(AppConfig):
    name = "shop_of_django"

    def ready(self):
        from tk_analytics_mw.django import analytics
        analytics.webhook("https://localhost:{{port}}/inbox", secret="{SECRET}", name="erp")
"""
DOORS = {
    "tk-analytics": ("-m", "tk_analytics_mw", "webhook"),
    "flask": ("-m", "flask", "--app", "shop", "tk-analytics", "webhook"),
    "django": ("-m", "django", "tk_analytics", "webhook"),
}


@pytest.fixture
def receiver(certified: Callable[[str], ssl.SSLContext]) -> Iterator[Receiver]:
    """With TLS, for ``localhost``."""
    with receiving("127.0.0.1", tls=certified("localhost")) as found:
        yield found


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path, receiver: Receiver, authority: trustme.CA) -> Run:
    """Run ``webhook …`` by one of the doors. The system trusts our authority, and ``localhost`` is allowed."""
    (tmp_path / "shop.py").write_text(SHOP.format(port=receiver.port))
    (tmp_path / "settings.py").write_text(DJANGO)
    (tmp_path / "shop_of_django").mkdir()
    (tmp_path / "shop_of_django" / "__init__.py").touch()
    (tmp_path / "shop_of_django" / "apps.py").write_text(DJANGO_APP.format(port=receiver.port))
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
        "DJANGO_SETTINGS_MODULE": "settings",
        "SSL_CERT_FILE": str(tmp_path / "authority.pem"),
        "TK_ANALYTICS_WEBHOOK_ALLOW": "localhost",
    }

    def call(*words: str, door: str = "tk-analytics", **further: str) -> subprocess.CompletedProcess[str]:
        which = ("--app", "shop:analytics") if (door, words[0]) == ("tk-analytics", "ping") else ()
        return subprocess.run(
            [sys.executable, *DOORS[door], *words, *which],
            cwd=tmp_path,
            env={**environment, **further},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return call


@pytest.mark.parametrize("door", DOORS)
def test_a_ping_arrives_signed(run: Run, receiver: Receiver, door: str) -> None:
    done = run("ping", "erp", door=door)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"erp: answered 204 \(\d+ ms\)\n", done.stdout)
    [request] = receiver.received
    sent = Webhook(SECRET).verify(request.body, request.headers)
    assert (sent["type"], sent["data"]) == ("webhook.ping", {"name": "erp"})
    assert re.fullmatch(r"erp:ping-[0-9a-f-]{36}", request.headers["Webhook-Id"])


@pytest.mark.parametrize("door", DOORS)
def test_a_ping_that_fails_says_why(run: Run, receiver: Receiver, door: str) -> None:
    receiver.answers += [status(401)]
    done = run("ping", "erp", door=door)
    assert done.returncode == 1
    assert re.fullmatch(r"Error: erp: localhost answered 401 Unauthorized \(\d+ ms\)\n", done.stderr)
    assert len(receiver.received) == 1, "once"


def test_other_reasons(run: Run, receiver: Receiver) -> None:
    receiver.answers += [hang_up, status(410)]
    for said, further in (
        ("closed the connection without an answer", {}),
        ("answered 410 Gone", {}),
        ("certificate verify failed", {"SSL_CERT_FILE": ""}),
        ("localhost is 127.0.0.1, which is loopback", {"TK_ANALYTICS_WEBHOOK_ALLOW": ""}),
    ):
        done = run("ping", "erp", **further)
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
        assert "sesame" not in done.stderr + done.stdout
        assert SECRET not in done.stderr + done.stdout


@pytest.mark.parametrize("name", ["mail", "nobody"])
def test_what_is_no_webhook_is_not_pinged(run: Run, name: str) -> None:
    done = run("ping", name)
    assert (done.returncode, done.stderr) == (1, f"Error: there is no webhook '{name}'; there are: erp\n")


def test_a_secret_for_a_webhook(run: Run) -> None:
    secrets = {run("secret").stdout.strip() for _ in range(2)}
    assert len(secrets) == 2
    for secret in secrets:
        assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
        assert Webhook(secret)


def test_a_child_that_is_forked_does_not_share_the_connection(
    receiver: Receiver, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    script = f"""
    import os, ssl
    from tk_analytics_mw import Analytics
    analytics = Analytics(webhook_allow=["localhost"])
    analytics.webhook("https://localhost:{receiver.port}/", secret="{SECRET}", name="erp",
                      ssl_context=ssl.create_default_context(cafile="authority.pem"))
    reachable = analytics.find_parts().reachable
    ping = analytics.hooks.durable["erp"].function.ping

    assert ping(reachable) == ping(reachable) == 204
    child = os.fork()
    if child == 0:
        os._exit(0 if ping(reachable) == ping(reachable) == 204 else 1)
    assert ping(reachable) == 204
    assert os.waitpid(child, 0)[1] == 0
    assert ping(reachable) == 204
    """
    run_script(script, cwd=tmp_path)
    ports = [request.port for request in receiver.received]
    assert len(ports) == 6
    assert receiver.connections == 2, "one each"
    assert ports[0] == ports[1] == ports[-1]
