"""Who the user is, by the host's own login instead of by what the page says."""

from __future__ import annotations

import logging
from typing import Any, Final
from uuid import UUID

from tk_analytics_mw.errors import Refused
from tk_analytics_mw.intake import Sender
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.waiting import Waits

logger: Final = logging.getLogger("tk_analytics_mw.access")

MAX_USER_ID: Final = 200
"""Characters, as of every ID of the contract."""


async def identify(sender: Sender, parts: Parts, waits: Waits) -> None:
    """Put in place of any ``userId`` that a browser sends the one of the host's login; without a login, none.

    A page's word never counts: whoever forges an event would send it without a login. A private token's does: a
    server speaks of its shoppers, and has no login of theirs. Where the user is not to be known nobody is asked.

    Raises:
        Refused: with 503, the login cannot be looked up.
    """
    function = parts.identify
    if function is None or sender.principal.kind == "private" or sender.anonymous or sender.dropped is not None:
        return
    try:
        sender.facts["userId"] = _text(await waits.call(function, sender.request))
    except Refused:
        raise
    except Exception:
        logger.exception("identify failed; the request is refused")
        raise Refused.for_now("It cannot be looked up now who is logged in") from None


def _text(user: Any) -> str | None:
    if user is None or user == "":
        return None
    if isinstance(user, bool) or not isinstance(user, (str, int, UUID)):
        raise TypeError(f"identify returned a {type(user).__name__}: return the user's ID as a text, or None")
    text = str(user)
    if not text.strip() or len(text) > MAX_USER_ID:
        raise ValueError(f"identify returned an ID of {len(text)} characters: 1 to {MAX_USER_ID}, not only blanks")
    return text
