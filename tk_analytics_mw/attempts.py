"""One attempt of a delivery: the call of a durable hook, and what is to become of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final, NamedTuple

from tk_analytics_mw.errors import Discard, Retry, SwitchOff
from tk_analytics_mw.hooks import DurableHook
from tk_analytics_mw.storage.outbox import Delivery, Outcome
from tk_analytics_mw.waiting import Waits, run_blocking

logger: Final = logging.getLogger("tk_analytics_mw.delivery")

MAX_ERROR: Final = 500
"""Characters kept of what a function raised."""

MAX_HOLD: Final = 300.0
"""Seconds that one delivery can hold up the others."""


class Attempt(NamedTuple):
    """What came of a call."""

    outcome: Outcome
    hold: float = 0.0
    """Seconds for which the function is to be called for no other delivery either."""


def attempt(hook: DurableHook, delivery: Delivery, waits: Waits, clock: Callable[[], float]) -> Attempt:
    """Call the function, in this thread.

    Args:
        hook: whose function.
        delivery: what it is called with.
        waits: how to call host code from a thread.
        clock: seconds since 1970.

    Raises:
        SwitchOff: the function says that it wants no more.
    """
    if delivery.attempt > hook.max_attempts:
        return Attempt(_dead(delivery, "the deliverer died during the last attempt"))
    try:
        run_blocking(waits.call(hook.function, delivery.event, delivery))
    except SwitchOff:
        raise
    except Discard as error:
        return Attempt(Outcome(delivery, "discarded", str(error)[:MAX_ERROR]))
    except BaseException as error:  # noqa: BLE001 - of host code, in a thread of its own: sys.exit() included
        return _failed(hook, delivery, error, clock)
    return Attempt(Outcome(delivery, "delivered"))


def _failed(hook: DurableHook, delivery: Delivery, error: BaseException, clock: Callable[[], float]) -> Attempt:
    asked = isinstance(error, Retry)
    said = (str(error) if asked else f"{type(error).__name__}: {error}")[:MAX_ERROR]
    after = error.after if isinstance(error, Retry) else None
    if delivery.attempt >= hook.max_attempts:
        return Attempt(_dead(delivery, said, error), _hold(error, after or 0.0))
    if after is None:
        after = hook.backoff(delivery.attempt) * random.uniform(0.75, 1.25)  # noqa: S311
    logger.log(
        logging.INFO if asked else logging.WARNING,
        "delivery %s failed, attempt %d of %d; again in %.0f s: %s",
        delivery.id,
        delivery.attempt,
        hook.max_attempts,
        after,
        said,
        exc_info=None if asked else error,
    )
    return Attempt(Outcome(delivery, "retrying", said, due_at=clock() + max(after, 0.0)), _hold(error, after))


def _hold(error: BaseException, after: float) -> float:
    return min(max(after, 0.0), MAX_HOLD) if isinstance(error, Retry) and error.hold else 0.0


def _dead(delivery: Delivery, why: str, error: BaseException | None = None) -> Outcome:
    logger.error("delivery %s is given up after %d attempts: %s", delivery.id, delivery.attempt, why, exc_info=error)
    return Outcome(delivery, "dead", why)
