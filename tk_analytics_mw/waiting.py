"""The only place where the two worlds differ: how a pipeline waits.

The pipeline is written once, as coroutine functions. Under ASGI it is awaited. Under WSGI there is
no event loop to await on, and none is needed: with :class:`Blocking` nothing in it ever suspends,
so that one ``send(None)`` runs it to its end in the calling thread (:func:`run_blocking`).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import os
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from tk_analytics_mw.events import Event

T = TypeVar("T")

HOST_THREADS: Final = 32
"""Threads for the host's plain functions under ASGI. They have their own limit, so that slow hooks
do not take the threads of the host's own endpoints (anyio's default limit is 40 for all)."""

READ_THREADS: Final = 8
"""Threads for questions to the storage under ASGI, so that long ones take neither the host's threads nor those of
its hooks. SQLite reads without the interpreter's lock; more of them than processors gain nothing."""

Around = Callable[[], AbstractContextManager[Any]]
"""What a framework wants around host code: Flask's app context, Django's care for connections."""


class Commits(Protocol):
    """Both faces of group commit, see :mod:`tk_analytics_mw.commit`."""

    def write_blocking(self, events: Sequence[Event]) -> Sequence[Event | Exception]: ...

    def write_awaiting(self, events: Sequence[Event]) -> Awaitable[Sequence[Event | Exception]]: ...


class Waits(Protocol):
    """How a pipeline waits: for host code, and for a commit."""

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call host code, a plain or an async function, and give its result."""
        ...

    def commit(self, commits: Commits, events: Sequence[Event]) -> Awaitable[Sequence[Event | Exception]]:
        """Wait until ``events`` are durable, or known not to be."""
        ...

    async def read(self, question: Callable[..., T], *args: Any, **options: Any) -> T:
        """Put a question to the storage, which blocks until it has the answer."""
        ...


class Awaiting:
    """Waits on the running event loop, asyncio's or trio's.

    Plain host functions run in a worker thread, because on the loop a slow one would hold up everybody.
    """

    def __init__(self, around: Around = nullcontext) -> None:
        self._around = around
        self._host_threads: RunVar[anyio.CapacityLimiter] = RunVar("tk_analytics_host_threads")
        self._read_threads: RunVar[anyio.CapacityLimiter] = RunVar("tk_analytics_read_threads")

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        if is_async(function):
            return await _call_async(self._around, function, args)
        limiter = _limiter(self._host_threads, HOST_THREADS)
        [result] = await anyio.to_thread.run_sync(_call_boxed, self._around, function, args, limiter=limiter)
        return await result if inspect.isawaitable(result) else result

    def commit(self, commits: Commits, events: Sequence[Event]) -> Awaitable[Sequence[Event | Exception]]:
        return commits.write_awaiting(events)

    async def read(self, question: Callable[..., T], *args: Any, **options: Any) -> T:
        asked = functools.partial(question, *args, **options)
        return await anyio.to_thread.run_sync(asked, limiter=_limiter(self._read_threads, READ_THREADS))


class Blocking:
    """Waits by blocking the calling thread.

    Args:
        around: see :data:`Around`.
        run_async: runs an async host function to its end from a thread without a loop. Default: on one loop
            thread a process, started when first needed, so that what a host binds to its loop stays usable.
    """

    def __init__(
        self,
        around: Around = nullcontext,
        run_async: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any] | None = None,
    ) -> None:
        self._around = around
        self._run_async = run_async or run_on_loop_thread

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        if is_async(function):
            return self._run(functools.partial(_call_async, self._around, function, args))
        result = _call_plain(self._around, function, args)
        return self._run(functools.partial(_await, result)) if inspect.isawaitable(result) else result

    def _run(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return self._run_async(functools.partial(_on_asyncio, function))

    async def commit(self, commits: Commits, events: Sequence[Event]) -> Sequence[Event | Exception]:
        return commits.write_blocking(events)

    async def read(self, question: Callable[..., T], *args: Any, **options: Any) -> T:
        return question(*args, **options)


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits with :class:`Blocking`, in this thread and without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("the pipeline suspended under WSGI: something in it awaits without going through Blocking")


def _limiter(of_loop: RunVar[anyio.CapacityLimiter], threads: int) -> anyio.CapacityLimiter:
    try:
        return of_loop.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(threads)
        of_loop.set(limiter)
        return limiter


def iterate_blocking(chunks: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Go through what a coroutine that waits with :class:`Blocking` yields, in this thread without an event loop."""
    try:
        while (chunk := run_blocking(_next(chunks))) is not None:
            yield chunk
    finally:
        run_blocking(_close(chunks))


async def _next(chunks: AsyncGenerator[T, None]) -> T | None:
    return await anext(chunks, None)


async def _close(chunks: AsyncGenerator[Any, None]) -> None:
    await chunks.aclose()


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling ``function`` gives a coroutine: also for partials and objects with an async ``__call__``."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _call_plain(around: Around, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    with around():
        return function(*args)


def _call_boxed(around: Around, function: Callable[..., Any], args: tuple[Any, ...]) -> list[Any]:
    return [_call_plain(around, function, args)]  # trio takes no coroutine for the result of a thread


async def _call_async(around: Around, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    with around():
        return await function(*args)


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def _on_asyncio(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    # The caller's context has come along, for what the host keeps in it; it may say that this is trio.
    if "sniffio" in sys.modules:
        sys.modules["sniffio"].current_async_library_cvar.set(None)
    return await function()


_loops: dict[int, asyncio.AbstractEventLoop] = {}
_loops_lock = threading.Lock()
_thread = threading.local()  # whether it is one that runs async hooks


def run_on_loop_thread(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run an async function on this process's loop thread and wait for its result."""
    if getattr(_thread, "ours", False):
        # An async hook records an event, which has an async hook: the loop cannot wait for itself.
        with ThreadPoolExecutor(1, initializer=_mark_thread) as further:
            return further.submit(contextvars.copy_context().run, asyncio.run, function()).result()
    # Keyed by process: a thread does not survive a fork.
    loop = _loops.get(os.getpid()) or _start_loop()
    return asyncio.run_coroutine_threadsafe(function(), loop).result()


def _start_loop() -> asyncio.AbstractEventLoop:
    with _loops_lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(loop,), name="tk-analytics-async-hooks", daemon=True).start()
            _loops[os.getpid()] = loop
    return loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    _mark_thread()
    loop.run_forever()


def _mark_thread() -> None:
    _thread.ours = True


def _after_fork_in_child() -> None:
    global _loops_lock  # noqa: PLW0603
    _loops_lock = threading.Lock()  # the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
