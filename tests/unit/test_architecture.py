"""Promises about the package as a whole: what importing and creating costs, and how its modules hang together."""

from __future__ import annotations

import inspect
import types
from pathlib import Path

import grimp
import pytest

import tk_analytics_mw
from tests.unit.making import ROOT, run_script

PACKAGE = ROOT / "tk_analytics_mw"
MODULES = sorted(PACKAGE.rglob("*.py"))
PUBLIC = [name for name in tk_analytics_mw.__all__ if name != "__version__"]


def imported(script: str) -> set[str]:
    """The top-level packages that a script has imported."""
    return {*run_script(f"{script}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})").split()}


def test_importing_the_package_imports_nothing_that_it_uses() -> None:
    found = imported("import tk_analytics_mw")
    assert "tk_analytics_mw" in found
    heavy = {"flask", "django", "fastapi", "sqlite_utils", "user_agents", "pydantic", "starlette", "anyio", "sqlite3"}
    assert not found & heavy


def test_creating_analytics_imports_no_framework_and_no_parser_that_is_not_needed_yet() -> None:
    found = imported(
        "from tk_analytics_mw import Analytics; analytics = Analytics(); analytics.asgi(); analytics.wsgi()"
    )
    assert "starlette" in found
    assert not found & {"flask", "django", "fastapi", "sqlite_utils", "user_agents", "trio", "asgiref", "werkzeug"}


def test_every_public_name_is_there_and_listed() -> None:
    assert dir(tk_analytics_mw) == sorted(tk_analytics_mw.__all__) == sorted({*tk_analytics_mw.__all__})
    for name in PUBLIC:
        assert getattr(tk_analytics_mw, name).__name__ == name
    with pytest.raises(AttributeError, match=r"'tk_analytics_mw' has no attribute 'Analitics'"):
        tk_analytics_mw.Analitics  # type: ignore[attr-defined]  # noqa: B018


def test_a_star_imports_every_public_name() -> None:
    said = run_script("from tk_analytics_mw import *; print(*dir())")
    assert {*tk_analytics_mw.__all__} <= {*said.split()}


def documented(thing: object, name: str) -> list[str]:
    """The public parts of something public that have no docstring."""
    missing = [] if inspect.getdoc(thing) else [name]
    if isinstance(thing, type) and thing.__module__.startswith("tk_analytics_mw"):
        for part, value in vars(thing).items():
            function = getattr(value, "__func__", value)
            if not part.startswith("_") and isinstance(function, (types.FunctionType, property)):
                missing += [] if inspect.getdoc(function) else [f"{name}.{part}"]
    return missing


def test_everything_public_has_a_docstring_of_its_own() -> None:
    assert [each for name in PUBLIC for each in documented(getattr(tk_analytics_mw, name), name)] == []
    for name in PUBLIC:
        thing = getattr(tk_analytics_mw, name)
        bases = thing.__mro__[1:] if isinstance(thing, type) else ()
        assert thing.__doc__ not in {base.__doc__ for base in bases}, f"{name} has the docstring of its base"


def test_every_module_says_what_it_is_for() -> None:
    silent = [file for file in MODULES if not file.read_text().startswith('"""')]
    assert silent == []


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_every_module_can_be_read_at_once(file: Path) -> None:
    assert len(file.read_text().splitlines()) < 300


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("tk_analytics_mw", exclude_type_checking_imports=True, cache_dir=None)
    assert len(graph.modules) == len(MODULES)
    assert graph.find_shortest_chain("tk_analytics_mw.analytics", "tk_analytics_mw.errors"), "there is a graph"
    cycles = [
        [module, *chain]
        for module in graph.modules
        for imported_ in graph.find_modules_directly_imported_by(module)
        if (chain := graph.find_shortest_chain(imported_, module))
    ]
    assert cycles == []


COSTS = """
    import os, sys, threading, time
    opened = []
    sys.addaudithook(lambda event, args: opened.append((event, args)) if event in WATCHED else None)
    WATCHED = ()
    from tk_analytics_mw import Analytics, EventType, PrivateToken, PublicToken
    import tk_analytics_mw.analytics, tk_analytics_mw.asgi, tk_analytics_mw.wsgi, tk_analytics_mw.storage.sqlite
    import tk_analytics_mw.fastapi, tk_analytics_mw.flask, fastapi, flask

    def state():
        return {number: os.readlink(f"/proc/self/fd/{number}") for number in range(3, 200)
                if os.path.lexists(f"/proc/self/fd/{number}")}, [thread.name for thread in threading.enumerate()]

    before = state()
    WATCHED = ("socket.__new__", "socket.connect", "socket.bind", "sqlite3.connect", "subprocess.Popen", "os.fork",
               "os.mkdir", "signal.pthread_kill", "_thread.start_new_thread")
    analytics = Analytics(tokens=[PublicToken("pub-1234", org_id="acme", domains=["shop.example.com"]),
                                  PrivateToken("prv-1234", org_id="acme")])
    analytics.asgi()
    analytics.wsgi()
    analytics.router()
    analytics.install(fastapi.FastAPI())
    analytics.init_app(flask.Flask("shop"))

    @analytics.on(EventType.ORDERED)
    async def hook(event): ...

    @analytics.before_store
    def look(event): ...

    WATCHED, seen = (), list(opened)
    assert state() == before, (before, state())
    assert not seen, seen
    assert os.listdir() == [], os.listdir()

    analytics.record("product session start", org_id="acme", session_id="s-1")
    assert "analytics.db" in os.listdir(), "it would have been seen"
    assert state() != before
    analytics.close()
    assert state() == before
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc here")
def test_creating_and_mounting_opens_nothing_and_starts_nothing_until_the_first_event(tmp_path: Path) -> None:
    run_script(COSTS, cwd=tmp_path)


WITHOUT = """
    import sys

    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {names!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

    sys.meta_path.insert(0, Missing())
    from tk_analytics_mw import Analytics, ConfigurationError, PrivateToken
    analytics = Analytics(tokens=[PrivateToken("prv-1234", org_id="acme")])
"""
FRAMEWORKS = {"flask", "werkzeug", "django", "asgiref", "fastapi"}


def without(names: set[str], script: str) -> str:
    return inspect.cleandoc(WITHOUT.format(names=names)) + "\n" + inspect.cleandoc(script)


def test_no_framework_is_needed(tmp_path: Path) -> None:
    script = """
    import anyio
    from starlette.applications import Starlette
    analytics.install(Starlette())
    analytics.record("product ordered", org_id="acme", session_id="s-1")
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/analytics/healthcheck", "SERVER_NAME": "shop",
               "SERVER_PORT": "80", "wsgi.url_scheme": "http", "wsgi.input": None}
    print(b"".join(analytics.wsgi()(environ, lambda *args: None)))

    async def call():
        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}
        async def send(message):
            print(message.get("body"))
        scope = {"type": "http", "method": "GET", "path": "/api/analytics/healthcheck", "query_string": b"",
                 "headers": []}
        await analytics.asgi()(scope, receive, send)

    anyio.run(call)
    analytics.close()
    """
    said = run_script(without(FRAMEWORKS, script), cwd=tmp_path)
    assert said.splitlines() == ["b'true'", "None", "b'true'"]


@pytest.mark.parametrize(
    ("names", "use"),
    [
        ({"flask"}, "analytics.init_app(object())"),
        ({"fastapi"}, "analytics.router()"),
        ({"django", "asgiref"}, "import tk_analytics_mw.django"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "+".join(sorted(value)),
)
def test_a_framework_that_is_missing_is_named(tmp_path: Path, names: set[str], use: str) -> None:
    script = f"""
    try:
        {use}
    except (ImportError, ConfigurationError) as error:
        print(error)
    """
    said = run_script(without(names, script), cwd=tmp_path).lower()
    assert any(name in said for name in names), said


STRIPPED = """
import tk_analytics_mw
analytics = tk_analytics_mw.Analytics()
event = analytics.record("product ordered", org_id="acme", session_id="s-1")
analytics.close()
print(event.event_type)
"""


def test_the_package_runs_without_asserts_and_docstrings(tmp_path: Path) -> None:
    """``python -OO``: nothing may hang on either."""
    assert run_script(STRIPPED, "-OO", cwd=tmp_path) == "product ordered\n"
