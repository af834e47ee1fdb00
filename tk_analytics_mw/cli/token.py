"""``token``: the tokens that the storage keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import click

from tk_analytics_mw.auth.origins import domains_of
from tk_analytics_mw.auth.stored import new_token
from tk_analytics_mw.auth.tokens import digest_of
from tk_analytics_mw.cli.options import age, json_lines, json_object, moment
from tk_analytics_mw.cli.target import with_parts
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.tokens import StoredToken, TokenStorage, TokenStore

Kind = Literal["public", "private"]


@click.group()
def token() -> None:
    """Make tokens, see them, exchange them, take them back.

    A token is shown once, on standard output and nothing else there; kept is only its SHA-256. They count where
    the setting tokens is "stored", or a list with "stored" in it: a second after they are made, and until some
    seconds after they are revoked.
    """


@token.command()
@click.option("--public", "kind", flag_value="public", help="For web pages: it can only create events.")
@click.option("--private", "kind", flag_value="private", help="For servers: it can do everything.")
@click.option("--org", "org_id", required=True, help="The organisation that it speaks for.")
@click.option("--domain", "domains", multiple=True, help="Where a public one may be used. May be repeated.")
@click.option("--label", default="", help="What you call it.")
@click.option("--expires", "expires_at", type=moment, help="When it ends: 90d, or 2027-01-31. Default: never.")
@json_object
@with_parts
def create(
    parts: Parts,
    *,
    kind: Kind | None,
    org_id: str,
    domains: tuple[str, ...],
    label: str,
    expires_at: datetime | None,
    as_json: bool,
) -> None:
    """Make a token."""
    if kind is None:
        raise click.UsageError("What kind of token? --public or --private.")
    if (kind == "public") != bool(domains):
        raise click.UsageError("A public token needs --domain, as often as there are domains; a private one has none.")
    if not org_id.strip():
        raise click.UsageError("--org is the ID of an organisation")
    domains_of(domains)
    now = datetime.now(timezone.utc)
    if expires_at is not None and expires_at <= now:
        raise click.UsageError("--expires is in the past")
    text, made = _make(kind, org_id, domains, label, now=now, expires_at=expires_at)
    _store(parts).add(made)
    _show_once(parts, text, made, as_json)


@token.command("list")
@click.option("--all", "everything", is_flag=True, help="Those too that have ended.")
@json_lines
@with_parts
def list_(parts: Parts, everything: bool, as_json: bool) -> None:
    """List the stored tokens, the oldest first."""
    now = datetime.now(timezone.utc)
    for each in _store(parts).tokens():
        if not everything and not each.is_live(now):
            continue
        if as_json:
            click.echo(json.dumps(_as_json(each, now)))
        else:
            used = "never used" if each.last_used is None else f"last used {each.last_used}"
            where = f"  on {', '.join(each.domains)}" if each.domains else ""
            label = f"  {each.label!r}" if each.label else ""
            click.echo(f"{each.id:<16}  {_state(each, now):<22}  {each.org_id}{where}{label}  {used}")


@token.command()
@click.argument("token_id", metavar="ID")
@click.option("--overlap", type=age, default="7d", show_default=True, help="How long both count.")
@json_object
@with_parts
def rotate(parts: Parts, token_id: str, overlap: timedelta, as_json: bool) -> None:
    """Make another token like this one. Both count for a while; then the old one ends."""
    store, now = _store(parts), datetime.now(timezone.utc)
    tokens = store.tokens()
    old = _find(tokens, token_id)
    if not old.is_live(now):
        raise click.ClickException(f"{old.id} has ended; make a new one with: token create")
    others = [
        each for each in tokens if each.is_live(now) and (each.rotated_from == old.id or each.id == old.rotated_from)
    ]
    if others:
        raise click.ClickException(
            f"two of them count already: {old.id} and {others[0].id}; revoke one of them, or wait until it ends"
        )
    end = now + overlap
    # The new one gets as long a life as the old one had.
    expires_at = None if old.expires_at is None else now + (old.expires_at - old.created_at)
    text, made = _make(
        old.kind, old.org_id, old.domains, old.label, now=now, expires_at=expires_at, rotated_from=old.id
    )
    ending = replace(old, expires_at=end if old.expires_at is None else min(end, old.expires_at))
    store.add(made, ending=ending)
    _show_once(parts, text, made, as_json)
    click.echo(f"{old.id} counts until {ending.expires_at:%Y-%m-%d %H:%M:%S} UTC", err=True)


@token.command()
@click.argument("token_ids", metavar="ID...", nargs=-1, required=True)
@with_parts
def revoke(parts: Parts, token_ids: tuple[str, ...]) -> None:
    """Let tokens count no longer: within 30 seconds in every process."""
    store = _store(parts)
    tokens = store.tokens()
    ids = [_find(tokens, token_id).id for token_id in token_ids]
    number = store.revoke(ids, now=datetime.now(timezone.utc))
    click.echo(f"{number} revoked")


def _store(parts: Parts) -> TokenStore:
    if not isinstance(parts.storage, TokenStorage):
        raise ConfigurationError(f"{type(parts.storage).__name__} keeps no tokens")
    return parts.storage.tokens


def _make(
    kind: Kind,
    org_id: str,
    domains: tuple[str, ...],
    label: str,
    *,
    now: datetime,
    expires_at: datetime | None,
    rotated_from: str | None = None,
) -> tuple[str, StoredToken]:
    text = new_token(kind)
    digest = digest_of(text)
    made = StoredToken(
        id=f"{kind}-{digest.hex()[:8]}",
        digest=digest,
        kind=kind,
        org_id=org_id,
        domains=domains,
        label=label,
        created_at=now,
        expires_at=expires_at,
        rotated_from=rotated_from,
    )
    return text, made


def _show_once(parts: Parts, text: str, made: StoredToken, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"token": text, **_as_json(made, made.created_at)}))
    else:
        click.echo(f"{made.id}, for {made.org_id}. It is shown once, now:", err=True)
        click.echo(text)
    if "stored" not in parts.settings.tokens:
        click.echo('It does not count yet: add "stored" to the setting tokens.', err=True)


def _find(tokens: list[StoredToken], token_id: str) -> StoredToken:
    for each in tokens:
        if each.id == token_id:
            return each
    raise click.ClickException(f"there is no stored token {token_id!r}; see: token list --all")


def _state(each: StoredToken, now: datetime) -> str:
    if each.revoked_at is not None:
        return f"revoked {each.revoked_at:%Y-%m-%d}"
    if each.expires_at is None:
        return "live"
    return f"{'live until' if each.expires_at > now else 'expired'} {each.expires_at:%Y-%m-%d}"


def _as_json(each: StoredToken, now: datetime) -> dict[str, Any]:
    def iso(value: datetime | None) -> str | None:
        return None if value is None else value.isoformat()

    return {
        "id": each.id,
        "kind": each.kind,
        "orgId": each.org_id,
        "domains": list(each.domains),
        "label": each.label,
        "live": each.is_live(now),
        "createdAt": iso(each.created_at),
        "expiresAt": iso(each.expires_at),
        "revokedAt": iso(each.revoked_at),
        "lastUsed": None if each.last_used is None else each.last_used.isoformat(),
        "rotatedFrom": each.rotated_from,
    }
