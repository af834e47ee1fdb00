"""``doctor``: is everything as it should be, and what to do if not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

import click

from tk_analytics_mw.auth.tokens import PublicToken
from tk_analytics_mw.cli.checks import CHECKS
from tk_analytics_mw.cli.options import json_lines
from tk_analytics_mw.cli.round_trip import round_trip
from tk_analytics_mw.cli.target import Target, load, with_parts
from tk_analytics_mw.errors import AnalyticsError
from tk_analytics_mw.parts import Parts
from tk_analytics_mw.storage.examination import Finding
from tk_analytics_mw.wsgi import AnalyticsMiddleware

_COLOURS: Final = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command()
@click.option("--through", metavar="MODULE:NAME", help="Your WSGI or ASGI application, if it is not what --app names.")
@click.option("--host", help="What the Host header says. Default: the first domain of a token, else localhost.")
@click.option("--no-event", is_flag=True, help="Send no event.")
@json_lines
@with_parts
def doctor(parts: Parts, through: str | None, host: str | None, no_event: bool, as_json: bool) -> None:
    """Look everything over; for what is not as it should be, say what to do. Exit code 1 if something is wrong.

    An event is sent through the application, read back and removed. It is one of the organisation
    tk-analytics-doctor, of which no shop's figures know; your hooks see it.
    """
    wrong = False
    for finding in _findings(parts, through, host or _host(parts), no_event):
        wrong = wrong or finding.level == "error"
        if as_json:
            click.echo(json.dumps(asdict(finding)))
        else:
            click.echo(f"{click.style(f'{finding.level:<7}', fg=_COLOURS[finding.level])}  {finding.what}")
            if finding.advice:
                click.echo(f"         {finding.advice}")
    if wrong:
        raise SystemExit(1)


def _findings(parts: Parts, through: str | None, host: str, no_event: bool) -> Iterator[Finding]:
    for check in CHECKS:
        try:
            yield from check(parts)
        except AnalyticsError as error:
            yield Finding("error", f"{check.__name__}: {error}", "The other findings may say why.")
    if no_event:
        return
    application = _application(through)
    if application is None:
        yield Finding(
            "ok", "the event goes through our own door only", "--through module:app sends it through your application."
        )
        application = AnalyticsMiddleware(None, parts)
    try:
        yield from round_trip(parts, application, host)
    except AnalyticsError as error:
        yield Finding("error", f"the event could not be read back: {error}", "The other findings may say why.")


def _application(through: str | None) -> Any:
    if through is not None:
        return load(through)
    target = click.get_current_context().find_object(Target)
    return None if target is None else target.application()


def _host(parts: Parts) -> str:
    for each in parts.settings.tokens:
        if isinstance(each, PublicToken):
            for domain in each.principal.domains:
                if "*" not in domain:
                    return domain.rpartition("//")[2].rstrip("/")
    return "localhost"
