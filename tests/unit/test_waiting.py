"""How the one pipeline waits in a world without an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.making import run_script
from tk_analytics_mw.waiting import Blocking, is_async, run_blocking


async def coroutine_function(*_: Any) -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def plain_function(*_: Any) -> str:
    return "plain"


class AsyncCall:
    async def __call__(self, *_: Any) -> None: ...

    async def method(self, *_: Any) -> None: ...

    def plain(self, *_: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (coroutine_function, True),
        (functools.partial(functools.partial(coroutine_function, 1), 2), True),
        (AsyncCall(), True),
        (functools.partial(AsyncCall()), True),
        (AsyncCall().method, True),
        (plain_function, False),
        (functools.partial(plain_function), False),
        (AsyncCall().plain, False),
        (len, False),
    ],
)
def test_async_host_functions_are_recognised_in_every_form(function: Callable[..., Any], answer: bool) -> None:
    assert is_async(function) is answer


def test_a_pipeline_that_would_need_a_loop_says_so_and_is_closed() -> None:
    closed = []

    async def pipeline() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="suspended under WSGI"):
        run_blocking(pipeline())
    assert closed == [True]


def test_async_host_functions_of_all_threads_run_on_one_loop() -> None:
    """What a host binds to its loop, a client session say, stays usable from request to request."""
    blocking = Blocking()
    with ThreadPoolExecutor(8) as pool:
        loops = list(pool.map(lambda _: run_blocking(blocking.call(coroutine_function)), range(50)))
    assert len({*map(id, loops)}) == 1


@pytest.mark.parametrize("kind", ["async", "plain", "plain that returns a coroutine"])
def test_host_functions_see_the_callers_context_and_raise_to_it(kind: str) -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")
    user.set("anna")

    def plain(value: str) -> str:
        if value == "raise":
            raise KeyError(value)
        return f"{user.get()} {value}"

    async def later(value: str) -> str:
        await asyncio.sleep(0)
        return plain(value)

    def call(function: Callable[..., Any], value: str) -> Any:
        return function(value)

    function = {"async": later, "plain": plain, "plain that returns a coroutine": functools.partial(call, later)}[kind]
    assert run_blocking(Blocking().call(function, "x")) == "anna x"
    with pytest.raises(KeyError):
        run_blocking(Blocking().call(function, "raise"))


RECORDS_FURTHER = """
    import faulthandler
    faulthandler.dump_traceback_later(30, exit=True)
    from tk_analytics_mw import Analytics

    analytics = Analytics()
    seen = []

    @analytics.on("product ordered")
    async def ordered(event):
        analytics.record("product download", org_id="acme", session_id="s-1")

    @analytics.on("product download")
    async def downloaded(event):
        seen.append(event.event_type)

    analytics.record("product ordered", org_id="acme", session_id="s-1")
    print(seen)
    analytics.close()
"""


def test_an_async_hook_may_record_an_event_that_has_an_async_hook_itself(tmp_path: Path) -> None:
    """Both hooks have to run on the one loop thread: it may not wait for itself."""
    assert run_script(RECORDS_FURTHER, cwd=tmp_path) == "['product download']\n"
