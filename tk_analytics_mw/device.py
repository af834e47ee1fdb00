"""User-Agent → device, in the words of the ``user-agents`` package.

Parsing costs about a millisecond and grows with the length of the text, for hostile texts with its
cube (1.4 s for 10,000 characters, 4 ms for 512): so the text is cut first and the result remembered.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

MAX_USER_AGENT: Final = 512
"""Characters of a User-Agent that are looked at; real ones have 60 to 300."""

REMEMBERED: Final = 4096
"""User-Agents whose device is kept: 4 MiB at the very most. A shop sees a few hundred a day."""


class Device(NamedTuple):
    """What a User-Agent tells. ``text`` is the contract's ``device``, such as ``PC / Windows 7 / Firefox 47.0``."""

    text: str
    type: str
    """One of ``mobile``, ``tablet``, ``pc``, ``bot``, ``other``."""
    family: str
    system: str
    browser: str


def device_of(user_agent: str) -> Device:
    """Describe the sender of ``user_agent``; an empty one is ``Other / Other / Other``."""
    return _parse(user_agent[:MAX_USER_AGENT])


@lru_cache(maxsize=REMEMBERED)
def _parse(user_agent: str) -> Device:
    from user_agents import parse  # 120 ms to import: on first use, not with the host application

    found = parse(user_agent)
    kind = (
        "bot"
        if found.is_bot
        else "tablet"
        if found.is_tablet
        else "mobile"
        if found.is_mobile
        else "pc"
        if found.is_pc
        else "other"
    )
    return Device(
        text=str(found), type=kind, family=found.get_device(), system=found.get_os(), browser=found.get_browser()
    )
