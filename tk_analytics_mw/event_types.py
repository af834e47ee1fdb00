"""What may happen: the event types of the contract and of the host, and how they may be spelled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

from tk_analytics_mw.errors import ConfigurationError


class EventType(str, Enum):
    """The event types of the contract, each with its canonical value."""

    DOWNLOAD = "product download"
    SESSION_START = "product session start"
    SESSION_END = "product session end"
    CONFIGURATION_START = "product configuration start"
    CONFIGURATION_ATTRIBUTE_SET = "product configuration attribute set"
    CART_ADD = "product cart-add"
    ORDERED = "product ordered"
    SOCIAL_SHARE = "product social share"
    AR_NOT_AVAILABLE = "product AR not available"
    AR_OFFERED = "product AR offered"
    AR_DOWNLOAD = "product AR download"
    AR_MOBILE_TRANSITION_OFFERED = "product AR mobile transition offered"
    AR_MOBILE_TRANSITION_COMPLETED = "product AR mobile transition completed"

    def __str__(self) -> str:
        return self.value


_ALSO_PRODUCT = re.compile("(?:produce|production) ")


def canonical_spelling(spelling: str) -> str:
    """The one rule of the contract's spellings: the first word may be ``produce`` or ``production``."""
    return _ALSO_PRODUCT.sub("product ", spelling, count=1) if _ALSO_PRODUCT.match(spelling) else spelling


class EventTypes:
    """Every event type there is, and its spellings.

    Args:
        further: the host's own event types, canonical as they are written.
    """

    def __init__(self, further: Iterable[str] = ()) -> None:
        self.known = tuple(dict.fromkeys([*(type_.value for type_ in EventType), *further]))
        """The canonical values, the contract's first."""
        self._known = frozenset(self.known)

    def canonical(self, spelling: str) -> str | None:
        """The canonical value of ``spelling``, or ``None`` if there is no such event type."""
        if spelling in self._known:
            return spelling
        value = canonical_spelling(spelling)
        return value if value in self._known else None

    def require(self, spelling: str) -> str:
        """Like :meth:`canonical`.

        Raises:
            ConfigurationError: there is no such event type.
        """
        value = self.canonical(spelling)
        if value is None:
            raise ConfigurationError(
                f"{str(spelling)!r} is no event type: known are {', '.join(map(repr, self.known))}; "
                "the setting event_types adds your own"
            )
        return value
