"""Settings: where each may come from, which one counts, and what stops the start."""

from __future__ import annotations

import gc
import json
import secrets
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tk_analytics_mw import Analytics, ConfigurationError, PrivateToken, PublicToken, Request
from tk_analytics_mw.settings import Options, Settings, collect

TOKENS = [
    {"token": "pub-1234", "org_id": "acme", "domains": ["shop.example.com"]},
    {"token": "prv-1234", "org_id": "acme"},
]

# Each setting as code says it, as the environment does, and what comes of both.
SAMPLES: dict[str, tuple[Any, str, Any]] = {
    "prefix": ("/shop/a", "/shop/a/", "/shop/a"),
    "aliases": (["/x", "/y/z/"], "/x, /y/z/", ("/x", "/y/z")),
    "private_only": (["product ordered"], "product ordered", frozenset({"product ordered"})),
    "storage": ("sqlite:///events.db", "sqlite:///events.db", "sqlite:///events.db"),
    "tokens": (
        [PublicToken("pub-1234", org_id="acme", domains=["shop.example.com"]), PrivateToken("prv-1234", org_id="acme")],
        json.dumps(TOKENS),
        [("public", "acme", ("shop.example.com",)), ("private", "acme", ())],
    ),
    "authenticator": ("shop.auth:Keys", "shop.auth:Keys", "shop.auth:Keys"),
    "public_orgs": ({"a", "b"}, '["a", "b"]', frozenset({"a", "b"})),
    "event_types": (["quote, asked", "lead"], '["quote, asked", "lead"]', ("quote, asked", "lead")),
    "durability": ("relaxed", "relaxed", "relaxed"),
    "max_body_bytes": (1000, "1000", 1000),
    "max_batch_bytes": (2000, "2000", 2000),
    "max_batch_events": (20, "20", 20),
    "queue_limit": (30, "30", 30),
    "commit_timeout": (2.5, "2.5", 2.5),
    "allow_private_token_in_query": (True, "true", True),
    "org_from_token": (True, "1", True),
    "store_user_agent": (True, "yes", True),
    "respect_gpc": ("drop", "drop", "drop"),
    "drop_bots": (True, "1", True),
    "deliver_in_process": (True, "true", True),
    "keep_deliveries_days": (30, "30", 30.0),
    "retain_days": (400, "400", 400.0),
    "webhook_allow": ({"10.1.0.0/16", "erp"}, "10.1.0.0/16, erp", frozenset({"10.1.0.0/16", "erp"})),
}
every_setting = pytest.mark.parametrize("name", Settings.model_fields)


def plain(value: Any) -> Any:
    """A setting's value as it can be compared."""
    if isinstance(value, tuple) and any(isinstance(each, (PublicToken, PrivateToken)) for each in value):
        return [(each.principal.kind, each.principal.org_id, each.principal.domains) for each in value]
    return value


def variable(name: str) -> str:
    return f"TK_ANALYTICS_{name.upper()}"


def test_the_keyword_arguments_are_the_fields_of_the_settings() -> None:
    assert {*Options.__annotations__} == {*Settings.model_fields}
    assert {*SAMPLES} == {*Settings.model_fields}, "this file has a sample of every setting"


@every_setting
def test_each_setting_may_come_from_each_place(name: str) -> None:
    value, text, expected = SAMPLES[name]
    assert plain(getattr(Settings(), name)) != expected, "a sample is not the default"
    for settings in (
        collect({name: value}, None, {}),
        collect({}, {name: value}, {}),
        collect({}, {name.upper(): value}, {}),
        collect({}, None, {variable(name): text}),
    ):
        assert plain(getattr(settings, name)) == expected


@every_setting
def test_code_counts_before_the_framework_and_that_before_the_environment(name: str) -> None:
    default = getattr(Settings(), name)
    value, text, expected = SAMPLES[name]
    environ = {variable(name): text}
    assert getattr(collect({name: default}, {name.upper(): value}, environ), name) == default
    assert getattr(collect({}, {name.upper(): default}, environ), name) == default
    assert plain(getattr(collect({}, {}, environ), name)) == expected


def test_places_are_merged_setting_by_setting() -> None:
    settings = collect(
        {"queue_limit": 1}, {"MAX_BODY_BYTES": 2}, {"TK_ANALYTICS_MAX_BATCH_EVENTS": "3", "PATH": "/bin"}
    )
    assert (settings.queue_limit, settings.max_body_bytes, settings.max_batch_events) == (1, 2, 3)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().prefix = "/other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", ()), (" , ", ()), ("/a", ("/a",)), (" /a ,/b,", ("/a", "/b")), ("[]", ()), (' ["/a", "/b"]', ("/a", "/b"))],
)
def test_a_list_in_the_environment_is_words_between_commas_or_json(text: str, words: tuple[str, ...]) -> None:
    assert collect({}, None, {"TK_ANALYTICS_ALIASES": text}).aliases == words


@pytest.mark.parametrize(
    ("code", "framework", "environ", "named", "hint"),
    [
        ({"prefx": "/a"}, None, {}, "Analytics(prefx=…)", "'prefix'"),
        ({"PREFIX": "/a"}, None, {}, "Analytics(PREFIX=…)", "prefix"),
        ({}, {"QUEUE_LIMITS": 1}, {}, "TK_ANALYTICS['QUEUE_LIMITS']", "'queue_limit'"),
        ({}, {5: 1}, {}, "TK_ANALYTICS[5]", "known: prefix"),
        ({}, None, {"TK_ANALYTICS_TOKEN": "x"}, "TK_ANALYTICS_TOKEN", "'tokens'"),
        ({}, None, {"TK_ANALYTICS_": "x"}, "TK_ANALYTICS_", "known: prefix"),
    ],
)
def test_an_unknown_setting_is_named_as_its_place_spells_it_with_a_hint(
    code: Mapping[str, Any], framework: Mapping[str, Any] | None, environ: Mapping[str, str], named: str, hint: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        collect(code, framework, environ)
    assert named in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize("framework", ["prefix", ["prefix"], 5])
def test_what_a_framework_holds_is_a_dict(framework: Any) -> None:
    with pytest.raises(ConfigurationError, match="TK_ANALYTICS is a dict"):
        collect({}, framework, {})


PATHS = ["", "/", "api", "//api", "/a//b", "/a b", "/ä", "/a?b", "/a#", "https://shop.example.com/a", None, 5]
NUMBERS = [0, -1, 1.5, "many", "", None, [1]]
SWITCHES = ["perhaps", "", 2, None, []]
INVALID: dict[str, list[Any]] = {
    "prefix": PATHS,
    "aliases": [*([path] for path in PATHS), "[", '["/a"', "a, b", None, 5, {"/a": 1}],
    "private_only": [["no such type"], "product orders", [5], 5, None],
    "tokens": [5, None, "pub-1234", "{}", "[5]", ["pub-1234"], [{}], [{"token": "prv-1234"}], [None], TOKENS[0]],
    "public_orgs": [5, [5], None, "[5]"],
    "event_types": [[""], ["  "], ["x" * 101], [5], 5, None],
    "durability": ["none", "FULL", "", None, True],
    "max_body_bytes": NUMBERS,
    "max_batch_bytes": NUMBERS,
    "max_batch_events": NUMBERS,
    "queue_limit": NUMBERS,
    "commit_timeout": [0, -1.0, "soon", "", None, float("nan"), float("inf")],
    "allow_private_token_in_query": SWITCHES,
    "org_from_token": SWITCHES,
    "store_user_agent": SWITCHES,
    "respect_gpc": ["yes", "DROP", "", None, True],
    "drop_bots": SWITCHES,
    "deliver_in_process": SWITCHES,
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in INVALID for value in INVALID[name]], ids=repr)
def test_an_invalid_value_stops_the_start_and_its_setting_is_named(name: str, value: Any) -> None:
    places = [lambda: collect({name: value}, None, {}), lambda: collect({}, {name.upper(): value}, {})]
    # An empty word in the environment is an empty list, and that is valid.
    if isinstance(value, str) and not (value == "" and isinstance(getattr(Settings(), name), (tuple, frozenset))):
        places.append(lambda: collect({}, None, {variable(name): value}))
    for start in places:
        with pytest.raises(ConfigurationError) as caught:
            start()
        assert name in str(caught.value).lower()
        assert "pydantic" not in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        collect({"queue_limit": 0}, {"DURABILITY": "none"}, {"TK_ANALYTICS_MAX_BODY_BYTES": "x"})
    for named in ("queue_limit", "DURABILITY", "TK_ANALYTICS_MAX_BODY_BYTES"):
        assert named in str(caught.value)


# What is secret


@pytest.fixture
def secret() -> str:
    """A token that stands nowhere but in the test's own variables: not in the source, which tracebacks quote."""
    return secrets.token_hex(16)


WRONG_TOKENS: dict[str, Callable[[str], Any]] = {
    "the text alone": lambda secret: secret,
    "a list of texts": lambda secret: [secret],
    "a dict": lambda secret: {secret: "acme"},
    "a pair": lambda secret: [(secret, "acme")],
    "without an organisation": lambda secret: [{"token": secret}],
    "with a name too many": lambda secret: [{"token": secret, "org_id": "acme", "scope": "all"}],
    "as a name": lambda secret: [{secret: "token", "org_id": "acme"}],
    "in a list": lambda secret: [{"token": [secret], "org_id": "acme"}],
    "as bytes": lambda secret: [{"token": secret.encode(), "org_id": "acme"}],
    "too long": lambda secret: [{"token": secret * 20, "org_id": "acme"}],
    "no domains": lambda secret: [{"token": secret, "org_id": "acme", "domains": []}],
    "domains that are none": lambda secret: [{"token": secret, "org_id": "acme", "domains": [5]}],
    "domains as text": lambda secret: [{"token": secret, "org_id": "acme", "domains": "shop.example.com"}],
    "no date": lambda secret: [{"token": secret, "org_id": "acme", "expires_at": "2030-01-01"}],
    "broken JSON": lambda secret: json.dumps([{"token": secret, "org_id": "acme"}])[:-1],
    "JSON of another kind": lambda secret: json.dumps({"token": secret}),
}


@pytest.mark.parametrize("wrong", WRONG_TOKENS.values(), ids=WRONG_TOKENS)
def test_an_error_about_tokens_shows_none(secret: str, wrong: Callable[[str], Any]) -> None:
    value = wrong(secret)
    sources: list[Callable[[], object]] = [lambda: collect({"tokens": value}, {}, {}), lambda: Analytics(tokens=value)]
    if isinstance(value, str):
        sources.append(lambda: collect({}, {}, {"TK_ANALYTICS_TOKENS": value}))
    for start in sources:
        with pytest.raises(ConfigurationError) as caught:
            start()
        told = "".join(traceback.format_exception(caught.value))
        assert "tokens" in str(caught.value).lower()
        assert secret not in told + repr(caught.value)


def test_an_error_about_another_setting_shows_no_token(secret: str) -> None:
    for token in (PrivateToken(secret, org_id="acme"), {"token": secret, "org_id": "acme"}):
        with pytest.raises(ConfigurationError) as caught:
            collect({"tokens": [token], "queue_limit": 0}, None, {})
        assert secret not in "".join(traceback.format_exception(caught.value))


def holds(root: object, text: str) -> bool:
    """Whether ``text`` can be reached from an object, without going through modules, classes and code."""
    seen: set[int] = set()
    left = [root]
    while left:
        found = left.pop()
        if id(found) in seen or isinstance(found, (types.ModuleType, type, types.FrameType, types.CodeType)):
            continue
        seen.add(id(found))
        if (isinstance(found, str) and text in found) or (isinstance(found, bytes) and text.encode() in found):
            return True
        if isinstance(found, types.FunctionType):
            left += [*(found.__closure__ or ()), *(found.__defaults__ or ())]
        else:
            left += gc.get_referents(found)
    return False


def test_tokens_are_kept_in_no_attribute_and_shown_by_no_repr(secret: str, tmp_path: Path) -> None:
    other = secret[::-1]
    tokens = [PublicToken(secret, org_id="acme", domains=["shop.example.com"]), PrivateToken(other, org_id="acme")]
    analytics = Analytics(tokens=tokens, storage=f"sqlite:///{tmp_path}/analytics.db")
    parts = analytics.find_parts()
    assert holds([{"a": (secret,)}], secret), "the search finds what is there"
    assert holds(analytics, "shop.example.com"), "and gets to the tokens"
    for thing in (*tokens, analytics, parts, parts.settings, parts.tokens):
        for text in (secret, other):
            assert not holds(thing, text)
            assert text not in repr(thing) + str(thing) + format(thing)
    for text in (secret, other):
        assert text not in parts.settings.model_dump_json(exclude={"tokens"}) + str(parts.settings.model_dump())


def test_tokens_that_were_sent_are_remembered_nowhere(secret: str, tmp_path: Path) -> None:
    """Caches keep what was asked for: none of them may be asked with a token."""
    analytics = Analytics(tokens=[PrivateToken(secret, org_id="acme")], storage=f"sqlite:///{tmp_path}/analytics.db")
    tokens = analytics.find_parts().tokens
    for text in (secret, "unknown-" + secret):
        headers = [(b"authorization", f"Bearer {text}".encode())]
        request = Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers})
        assert (tokens.authenticate(request) is not None) is (text == secret)
    del request, headers
    ours = [module for name, module in sys.modules.items() if name.startswith("tk_analytics_mw.")]
    assert len(ours) > 10
    for module in ours:
        for name, value in vars(module).items():
            assert name.startswith("__") or not holds(value, secret), f"{module.__name__}.{name}"


def test_tokens_from_the_environment_are_not_kept_either(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TK_ANALYTICS_TOKENS", json.dumps([{"token": secret, "org_id": "acme"}]))
    analytics = Analytics()
    assert [token.principal.org_id for token in analytics.find_parts().settings.tokens] == ["acme"]
    assert not holds(analytics, secret)


def test_options_that_can_be_gone_through_only_once_hold_for_every_application(tmp_path: Path) -> None:
    """``Iterable`` says the type, so a generator will do: not for the first application alone."""
    analytics = Analytics(
        tokens=(PrivateToken(text, org_id="acme") for text in ("prv-1234", "prv-5678")),
        public_orgs=iter(["shared"]),
        private_only=(text for text in ["product ordered"]),
        storage=f"sqlite:///{tmp_path}/analytics.db",
    )
    for _ in range(2):
        settings = analytics.make_parts().settings
        assert len(settings.tokens) == 2
        assert (settings.public_orgs, settings.private_only) == ({"shared"}, {"product ordered"})


def test_tokens_that_were_given_as_dicts_are_not_kept_either(secret: str) -> None:
    """As the environment and a framework's configuration have them; code is not told off for it, so it is safe."""
    analytics = Analytics(tokens=[{"token": secret, "org_id": "acme"}])  # type: ignore[list-item]
    assert len(analytics.find_parts().settings.tokens) == 1
    assert not holds(analytics, secret)
