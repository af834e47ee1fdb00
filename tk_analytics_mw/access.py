"""May this request do this? Who it is, where it comes from, and whose organisation it speaks about."""

from __future__ import annotations

import logging
from typing import Final

from tk_analytics_mw.auth.base import Look, Principal
from tk_analytics_mw.auth.bearer import bearer_of
from tk_analytics_mw.auth.origins import domains_of, is_same_origin, origin_of
from tk_analytics_mw.errors import InvalidEvent, Refused
from tk_analytics_mw.messages import Request
from tk_analytics_mw.parts import Asked, Parts
from tk_analytics_mw.waiting import Waits

logger: Final = logging.getLogger("tk_analytics_mw.access")


async def authenticate(request: Request, parts: Parts, waits: Waits) -> Principal:
    """Find out who asks: the host's own scheme first, then the tokens.

    Raises:
        Refused: nobody, or not from there.
    """
    principal = None
    for asked in parts.authenticators:
        principal = await _ask_host(asked, request, waits)
        if principal is not None and principal.kind == "session" and bearer_of(request) is not None:
            principal = None  # a token was sent on purpose, a cookie is sent by itself
        if principal is not None:
            request.principal = principal
            break
    if principal is None:
        found = parts.tokens.authenticate(request)
        if isinstance(found, Look):  # of a stored token, once in some seconds
            await waits.read(found.take)
            found = parts.tokens.authenticate(request, looked=True)
        principal = found if isinstance(found, Principal) else None
    if principal is None:
        raise Refused(
            "A valid token is needed: bearer_token in the query, or Authorization: Bearer.",
            reason="unknown token" if _has_token(request) else "no token",
        )
    if principal.kind == "public":
        _check_domain(request, principal)
    elif principal.kind == "session":
        _check_own_page(request)
    else:
        _check_no_browser(request, principal)
    return principal


async def _ask_host(asked: Asked, request: Request, waits: Waits) -> Principal | None:
    authenticate, immediate = asked
    try:
        answer = authenticate(request) if immediate else await waits.call(authenticate, request)
        if isinstance(answer, Look):
            await waits.call(answer.take)
            answer = authenticate(request) if immediate else await waits.call(authenticate, request)
        # By type, never by truth: anything else, an un-awaited coroutine say, would let everybody in.
        if answer is None or isinstance(answer, Principal):
            return answer
        raise TypeError(f"the authenticator returned a {type(answer).__name__}: return a Principal, or None")
    except Refused:
        raise
    except Exception:
        logger.exception("the host's authenticator failed; the request is refused")
        raise Refused.for_now("The credentials cannot be checked now") from None


def _check_domain(request: Request, principal: Principal) -> None:
    domains = domains_of(principal.domains)
    origin = request.header(b"origin")
    if origin is not None:
        if domains.allows(origin) and not request.repeats(b"origin"):
            request.allowed_origin = origin
            return
    else:  # some privacy settings remove Origin; what sets a false Referer could set a false Origin
        referer = request.header(b"referer")
        if referer and domains.allows(origin_of(referer)):
            return
    raise Refused(
        "A public token works only on the pages of its allowed domains: the Origin header says where that is.",
        reason="domain not allowed",
    )


def _check_no_browser(request: Request, principal: Principal) -> None:
    if request.header(b"origin") is not None or request.header(b"sec-fetch-site") is not None:
        logger.warning("private token %s was used by a browser: take it for leaked and replace it", principal.name)
        raise Refused(
            "A private token must not be used in a browser, where everybody can read it.",
            reason="private token in a browser",
        )


def _check_own_page(request: Request) -> None:
    """Let a session count on the host's own pages only: a browser sends its cookie from every page of the world.

    Sec-Fetch-Site says where a request comes from, and no page can set it; Origin does, Referer where neither is
    there, as over plain HTTP. What says nothing is no page of this host.
    """
    site, origin = request.header(b"sec-fetch-site"), request.header(b"origin")
    own = True
    if site is not None:
        # "none" is what somebody typed, or has among their bookmarks: no page has a part in it.
        own = site == "same-origin" or (site == "none" and request.method in ("GET", "HEAD"))
    elif origin is None:
        origin = origin_of(request.header(b"referer") or "")
    if own and origin is not None:
        scheme, host = request.scope.get("scheme", "http"), request.header(b"host") or ""
        own = not request.repeats(b"origin") and is_same_origin(origin, scheme, host)
    if not own:
        raise Refused(
            "A session counts on the pages of its own site only: Sec-Fetch-Site, Origin or Referer says where that is.",
            reason="session from elsewhere",
        )


def _has_token(request: Request) -> bool:
    return bool(request.query("bearer_token")) or request.header(b"authorization") is not None


def check_organisation(org_id: str, principal: Principal, parts: Parts) -> None:
    """Let a principal speak about its own organisation and the public ones.

    Raises:
        Refused: with 403, about another one.
    """
    if org_id != principal.org_id and org_id not in parts.settings.public_orgs:
        raise Refused("The token's organisation is another one.", status=403, reason="other organisation")


def organisation_read(org_id: str | None, principal: Principal) -> str:
    """Whose events a principal may read: those of its own organisation, whatever ``public_orgs`` says.

    About a public organisation everybody may speak; but what others said of their shoppers there is not for
    everybody to read.

    Args:
        org_id: that the query names, if any.
        principal: who asks.

    Raises:
        Refused: with 403, it may not read, or names another organisation.
    """
    if principal.kind == "public":
        raise Refused("A public token can only create events: reading needs a private one.", status=403)
    if org_id is not None and org_id != principal.org_id:
        raise Refused("The token's organisation is another one: events are read with a token of their own.", status=403)
    return principal.org_id


def organisation_in_query(request: Request, principal: Principal, parts: Parts) -> str | None:
    """The organisation that the query names, if any.

    Raises:
        InvalidEvent: it names more than one.
        Refused: with 403, another one than the principal may speak about.
    """
    named = request.query("orgId")
    if not named:
        return None
    if len(named) > 1:
        raise InvalidEvent.at("query", "orgId", msg="is given more than once")
    check_organisation(named[0], principal, parts)
    return named[0]
