"""What ``doctor`` looks at, one function a subject."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Final

from tk_analytics_mw.auth.tokens import PrivateToken, PublicToken
from tk_analytics_mw.cli.deliveries import standing
from tk_analytics_mw.identifiers import time_of
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.examination import ExaminedStorage, Finding
from tk_analytics_mw.storage.outbox import DurableStorage
from tk_analytics_mw.storage.tokens import TokenStorage

BLOCKED: Final = (
    "/_tracking/",
    "/a/analytics/",
    "/ahoy/events",
    "/analytics/capture/",
    "/analytics/collect",
    "/analytics/event",
    "/analytics/hit",
    "/analytics/logs",
    "/analytics/report/",
    "/analytics/track",
    "/analytics/v1/",
    "/analytics/v2/",
    "/analytics/v3/",
    "/analytics/view",
    "/analytics/web/",
    "/api/analytics/",
    "/api/tracking/",
    "/app/tracking/",
    "/beacon/event/",
)
"""Parts of an address that ad blockers refuse on every domain: from EasyPrivacy's general list, those that an API like
this might have."""

SOON: Final = timedelta(days=14)
LATE: Final = timedelta(hours=1)
"""Until a token ends; that a delivery may wait."""


def storage(parts: Parts) -> Iterator[Finding]:
    """The storage, as far as it can be looked over."""
    if isinstance(parts.storage, ExaminedStorage):
        yield from parts.storage.examine()
    else:
        yield Finding("ok", f"the storage is a {type(parts.storage).__name__}; it does not say more about itself")
    if parts.settings.durability == "relaxed":
        yield Finding("warning", "durability is relaxed: a power cut may take the last seconds")


def paths(parts: Parts) -> Iterator[Finding]:
    """Whether ad blockers know the paths."""
    free = [prefix for prefix in parts.prefixes if not _blocked(prefix)]
    known = [prefix for prefix in parts.prefixes if _blocked(prefix)]
    if not free:
        yield Finding(
            "warning",
            f"ad blockers know {', '.join(known)}: those who have one send no events",
            'Serve the API under a path of your own too, aliases=["/shop-signals"] say, and let your pages use it.',
        )
    elif known:
        yield Finding("ok", f"ad blockers know {', '.join(known)}, and not {', '.join(free)}: let your pages use that")
    else:
        yield Finding("ok", f"common ad-block rules do not know {', '.join(free)}")


def tokens(parts: Parts) -> Iterator[Finding]:
    """Whether anybody can create events, from where, and for how long."""
    now = datetime.now(timezone.utc)
    found: list[tuple[str, str, tuple[str, ...], datetime | None]] = [
        (each.principal.name, each.principal.kind, each.principal.domains, each.expires_at)
        for each in parts.settings.tokens
        if isinstance(each, (PublicToken, PrivateToken))
    ]
    if "stored" in parts.settings.tokens and isinstance(parts.storage, TokenStorage):
        found += [
            (each.id, each.kind, each.domains, each.expires_at)
            for each in parts.storage.tokens.tokens()
            if each.revoked_at is None
        ]
    live = [each for each in found if each[3] is None or each[3] > now]
    if not live and not parts.authenticators:
        yield Finding("error", "no token counts: nobody can create events", "tk-analytics token create, or tokens=[…].")
    elif not parts.authenticators and not any(kind == "public" for _, kind, _, _ in live):
        yield Finding("warning", "no public token counts: web pages cannot create events", "token create --public")
    for name, kind, domains, expires_at in live:
        if kind == "public" and not domains:
            yield Finding("error", f"the token {name} has no domains: it works nowhere", "Make one with --domain.")
        elif kind == "public" and all(_is_local(domain) for domain in domains):
            yield Finding("warning", f"the token {name} works on this machine only", "Add your shop's domain.")
        if expires_at is not None and expires_at - now < SOON:
            yield Finding("warning", f"the token {name} ends on {expires_at:%Y-%m-%d}", f"token rotate {name}")
    if live:
        yield Finding("ok", f"{len(live)} tokens count")


def durable_hooks(parts: Parts) -> Iterator[Finding]:
    """Whether deliveries find their functions, and get to them."""
    if not isinstance(parts.storage, DurableStorage):
        return
    counts = parts.storage.outbox.counts()
    for name, each in counts.items():
        if name not in parts.hooks.durable and each.pending:
            yield Finding(
                "error",
                f"{each.pending} deliveries wait for {name!r}, and no durable hook has this name",
                f"Import the module that registers it, or give them up: tk-analytics deliveries discard --name {name}",
            )
            continue
        if each.off is not None:
            yield Finding("error", f"{name!r} is switched off: {each.off}", f"tk-analytics deliveries enable {name}")
        elif each.oldest_event is not None and datetime.now(timezone.utc) - time_of(each.oldest_event) > LATE:
            yield Finding(
                "warning",
                f"a delivery to {name!r} has been waiting since {time_of(each.oldest_event):%Y-%m-%d %H:%M} UTC",
                "Is a deliverer running? tk-analytics deliver",
            )
        if each.dead:
            yield Finding(
                "warning",
                f"{each.dead} deliveries to {name!r} were given up",
                f"tk-analytics deliveries list --state dead --name {name} says why; then replay or discard them.",
            )
    for name in parts.hooks.durable:
        if name in counts:
            yield Finding("ok", f"{name!r}: {standing(counts[name])}")
        else:
            yield Finding("warning", f"{name!r} has never been delivered to", "Run a deliverer: tk-analytics deliver")


def _blocked(prefix: str) -> bool:
    address = f"{prefix}events".lower()
    return any(rule in address for rule in BLOCKED)


def _is_local(domain: str) -> bool:
    host = domain.rpartition("//")[2].partition(":")[0]
    return host in ("localhost", "127.0.0.1", "[") or host.endswith((".localhost", ".test"))


CHECKS: Final = (storage, paths, tokens, durable_hooks)
