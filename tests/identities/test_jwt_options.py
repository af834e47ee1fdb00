"""What stops the start, what is loaded when, and many requests at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.hosts.base import an_event, default_options
from tests.hosts.flask_faces import FlaskClient
from tests.identities.issuer import AUDIENCE, SECRET, claims, issuing
from tk_analytics_mw import Analytics, ConfigurationError, JWTAuthenticator, Principal, any_of
from tk_analytics_mw.auth.key_set import KeySet
from tk_analytics_mw.django import DjangoSessionAuthenticator
from tk_analytics_mw.flask import FlaskSessionAuthenticator


async def later(claims: Any) -> Principal | None:
    return None


USUAL = {"algorithms": ["HS256"], "audience": AUDIENCE}
URL = {**USUAL, "jwks_url": "https://idp.example/jwks.json", "algorithms": ["ES256"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {**USUAL},
        {**URL, "keys": SECRET},
        {**USUAL, "keys": "short"},
        {**USUAL, "keys": SECRET, "algorithms": []},
        {**USUAL, "keys": SECRET, "algorithms": ["none"]},
        {**USUAL, "keys": SECRET, "algorithms": ["HS256", "none"]},
        {**USUAL, "keys": SECRET, "algorithms": ["HS256", "RS256"]},
        {**USUAL, "keys": SECRET, "algorithms": ["RS256"]},
        {**USUAL, "keys": SECRET, "algorithms": ["HS512"]},
        {**USUAL, "keys": []},
        {**USUAL, "keys": [SECRET] * 9},
        {**USUAL, "keys": SECRET, "audience": ""},
        {**USUAL, "keys": SECRET, "audience": []},
        {**USUAL, "keys": SECRET, "leeway": -1},
        {**USUAL, "keys": SECRET, "leeway": 3600},
        {**USUAL, "keys": SECRET, "domains": "shop.example.com"},
        {**USUAL, "keys": SECRET, "domains": ["https://a/b"]},
        {**USUAL, "keys": SECRET, "principal": later},
        {**USUAL, "keys": rsa.generate_private_key(65537, 1024).public_key(), "algorithms": ["RS256"]},
        {**USUAL, "keys": ec.generate_private_key(ec.SECP256R1()).public_key(), "algorithms": ["RS256"]},
        {**URL, "algorithms": ["HS256"]},
        {**URL, "jwks_url": "http://idp.example/jwks.json"},
        {**URL, "jwks_url": "file:///etc/passwd"},
        {**URL, "jwks_url": "idp"},
    ],
    ids=lambda wrong: ", ".join(sorted(wrong)),
)
def test_what_would_let_others_in_or_nobody_stops_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"JWTAuthenticator|is not a domain") as raised:
        JWTAuthenticator(**wrong)
    assert SECRET not in str(raised.value)


def test_what_cannot_be_asked_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="any_of"):
        any_of()
    with pytest.raises(ConfigurationError, match="authenticator"):
        Analytics(authenticator=any_of(7))
    for kind in (DjangoSessionAuthenticator, FlaskSessionAuthenticator):
        for organisation in (later, "acme"):
            with pytest.raises(ConfigurationError, match=kind.__name__):
                kind(organisation)  # type: ignore[arg-type]
    for identify in (7, "flask_login", "no.such.module:function"):
        with pytest.raises(ConfigurationError, match="identify"):
            Analytics(identify=identify)


def test_without_the_extra_the_error_names_it() -> None:
    program = (
        "import sys; sys.modules['jwt'] = None\n"
        "from tk_analytics_mw import Analytics, ConfigurationError, JWTAuthenticator\n"
        "Analytics()\n"
        "try:\n    JWTAuthenticator('x' * 32, algorithms=['HS256'], audience='a')\n"
        "except ConfigurationError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert 'pip install "tk_analytics_mw[jwt]"' in done.stdout


def test_pyjwt_is_loaded_by_those_who_use_it_only() -> None:
    program = "import sys, tk_analytics_mw; tk_analytics_mw.Analytics(); print('jwt' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


def test_many_at_once_are_one_question_to_the_issuer(tmp_path: Path) -> None:
    with issuing() as issuer:
        issuer.add("first")
        authenticator = JWTAuthenticator(jwks_url=issuer.url, algorithms=["ES256"], audience=AUDIENCE)
        options = {**default_options(), "authenticator": authenticator}
        host = FlaskClient(tmp_path / "analytics.db", options, lambda analytics: None)
        start = threading.Barrier(16)

        def post(_: int) -> int:
            start.wait()
            return host.from_page(an_event(), token=issuer.token("first")).status

        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(post, range(16))) == {200}
        assert issuer.asked == 1
        host.close()


def test_a_key_for_another_use_or_algorithm_verifies_nothing() -> None:
    with issuing() as issuer:
        issuer.add("a")
        document = json.loads(issuer.document())
        for changes in ({"use": "enc"}, {"alg": "ES384"}, {"alg": "none"}, {"alg": 7}, {"x": "AA"}):
            issuer.body = json.dumps({"keys": [{**document["keys"][-1], **changes}]}).encode()
            keys = KeySet(issuer.url, frozenset({"ES256"}))
            keys.refresh()
            assert keys.find("a", "ES256") == [], changes
        issuer.body = None
        keys = KeySet(issuer.url, frozenset({"ES256"}))
        keys.refresh()
        assert len(keys.find("a", "ES256")) == 1  # type: ignore[arg-type]


def test_the_readmes_token_is_one(tmp_path: Path) -> None:
    from time import time

    import jwt

    from tests.docs.test_readme import block

    names: dict[str, Any] = {"SECRET": SECRET, "jwt": jwt, "time": time}
    exec(block("minted = JWTAuthenticator"), names)
    exec(block('"domains": ["shop.example.com"]}, SECRET'), names)
    options = {**default_options(), "authenticator": any_of(names["of_idp"], names["minted"])}
    host = FlaskClient(tmp_path / "analytics.db", options, lambda analytics: None)
    assert host.from_page(an_event(), token=names["token"]).status == 200
    assert host.from_page(an_event(), token=jwt.encode(claims(aud="x"), SECRET)).status == 401
    host.close()
