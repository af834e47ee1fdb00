"""Where a request carries a token, and which kind of token may be carried where."""

from __future__ import annotations

from typing import NamedTuple

from tk_analytics_mw.auth.base import Principal
from tk_analytics_mw.errors import Refused
from tk_analytics_mw.messages import Request


class Bearer(NamedTuple):
    """A token as it was sent."""

    text: str
    in_query: bool


def bearer_of(request: Request) -> Bearer | None:
    """Look at ``bearer_token`` in the query first, then at ``Authorization: Bearer``.

    Raises:
        Refused: ``bearer_token`` is given more than once.
    """
    in_query = request.query("bearer_token")
    if in_query:
        if len(in_query) > 1:
            raise Refused("bearer_token is given more than once.")
        return Bearer(in_query[0], True)
    scheme, _, text = (request.header(b"authorization") or "").partition(" ")
    if scheme.lower() != "bearer":
        return None  # Basic and others are the host's own affair
    return Bearer(text.strip(), False)


def check_place(principal: Principal, bearer: Bearer, *, allow_private_in_query: bool, switch: str) -> None:
    """Let a public token stand in the query, and a private one in the header.

    Args:
        principal: whose token it is.
        bearer: where it stands.
        allow_private_in_query: let a private one stand there too.
        switch: what turns that on, for the error.

    Raises:
        Refused: it stands elsewhere.
    """
    if bearer.in_query and principal.kind == "private" and not allow_private_in_query:
        raise Refused(
            "A private token does not belong in a URL, where logs keep it: send it as Authorization: Bearer. "
            f"{switch} allows it all the same.",
            reason="private token in the query",
        )
    if not bearer.in_query and principal.kind == "public":
        raise Refused("A public token is sent as the query parameter bearer_token.", reason="public token in a header")
