"""A durable hook that POSTs each event to a URL, signed as Standard Webhooks says.

The body is ``{"type": …, "timestamp": …, "data": …}``: the canonical event type, when the event was created, and
the event as the API returns it. ``webhook-id`` is the delivery's id, the same at every attempt.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import re
import ssl
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import urlsplit

from standardwebhooks import Webhook as Signer

from tk_analytics_mw import __version__
from tk_analytics_mw.addresses import Reachable, Resolve, ascii_host, system_resolver
from tk_analytics_mw.errors import AddressRefused, ConfigurationError, Retry, SwitchOff
from tk_analytics_mw.events import Event
from tk_analytics_mw.hooks import DurableOptions, exponential
from tk_analytics_mw.identifiers import timestamp
from tk_analytics_mw.json_values import dump
from tk_analytics_mw.posting import Answer, Poster, Target, TimeLimits
from tk_analytics_mw.storage.outbox import Delivery

CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 15.0
TOTAL_TIMEOUT: Final = 20.0
"""Seconds. The specification recommends 15 to 30 for a request."""

MAX_RETRY_AFTER: Final = 43_200.0
"""Seconds that a receiver may put a delivery off at once: as long as the longest usual delay."""

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with
SECRET_BYTES: Final = range(24, 65)
"""The specification's bounds for the length of a secret."""

_BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)  # of the receiver, not of one event
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")


class WebhookOptions(DurableOptions, total=False):
    """What more can be said of a webhook. Times are in seconds."""

    allow_http: bool
    """Send to an ``http:`` URL, where everybody on the way can read the events. Default: no."""
    connect_timeout: float
    """For a connection, TLS included. Default: :data:`CONNECT_TIMEOUT`."""
    read_timeout: float
    """For the receiver's next sign of life. Default: :data:`READ_TIMEOUT`."""
    total_timeout: float
    """For the whole attempt, the look-up of the name included. Default: :data:`TOTAL_TIMEOUT`."""
    ssl_context: ssl.SSLContext
    """Whom to trust, for an authority of your own. Default: whom the system trusts."""
    resolve: Resolve
    """How a host and port become addresses, which are checked in any case. Default: the system's resolver."""


class Webhook:
    """Sends events to one URL.

    Args:
        name: of the durable hook.
        url: where to.
        secret: one; two while one replaces the other.
        reachable: gives the addresses that may be called, by the settings of the application that it is called for.
        options: see :class:`WebhookOptions`.

    Raises:
        ConfigurationError: one of them will not do. The text holds neither the URL nor a secret.
    """

    def __init__(
        self,
        name: str,
        url: str,
        secret: str | Sequence[str],
        *,
        reachable: Callable[[], Reachable],
        options: WebhookOptions,
    ) -> None:
        try:
            self._target = parse_target(url, allow_http=options.get("allow_http", False))
            self._signers = [Signer(key) for key in _keys(secret)]
            self._limits = _limits(options)
        except ConfigurationError as error:
            raise ConfigurationError(f"webhook {name!r}: {error}") from None
        self.name = name
        self._reachable = reachable
        self._resolve = options.get("resolve", system_resolver)
        self._backoff = options.get("backoff", exponential)
        self._poster = Poster(self._target, self._limits, options.get("ssl_context"))

    def __repr__(self) -> str:
        return f"<Webhook {self.name!r} to {self._target.scheme}://{self._target.authority}>"

    def __call__(self, event: Event, delivery: Delivery) -> None:
        """Send the event.

        Raises:
            Retry: it did not arrive.
            SwitchOff: the receiver wants no more.
        """
        answer = self._send(delivery.id, body_of(event), self._reachable())
        if not 200 <= answer.status < 300:
            if answer.status == HTTPStatus.GONE:
                raise SwitchOff(f"{self._said(answer)}: it wants no more")
            after = self._after(answer, delivery.attempt)
            raise Retry(self._said(answer), after=after, hold=after is not None and answer.status in _BUSY)

    def ping(self, reachable: Reachable) -> int:
        """Send a test message, of type ``webhook.ping``, and give the answer's status.

        Raises:
            Retry: there was no answer, or none that says success.
        """
        now = timestamp(datetime.now(timezone.utc))
        body = dump({"type": "webhook.ping", "timestamp": now, "data": {"name": self.name}})
        answer = self._send(f"{self.name}:ping-{uuid.uuid4()}", body, reachable)
        if not 200 <= answer.status < 300:
            raise Retry(self._said(answer))
        return answer.status

    def _send(self, id_: str, body: bytes, reachable: Reachable) -> Answer:
        host, port = self._target.host, self._target.port
        seconds = self._limits.total
        deadline = time.monotonic() + seconds
        try:
            addresses = reachable.find(host, port, resolve=self._resolve, seconds=seconds)
        except AddressRefused as error:
            raise Retry(str(error)) from None
        now = datetime.now(timezone.utc)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"tk_analytics_mw/{__version__}",
            "Webhook-Id": id_,
            "Webhook-Timestamp": str(int(now.timestamp())),
            "Webhook-Signature": " ".join(signer.sign(id_, now, body.decode()) for signer in self._signers),
        }
        return self._poster.post(addresses, headers, body, deadline=deadline)

    def _said(self, answer: Answer) -> str:
        try:
            phrase = f" {HTTPStatus(answer.status).phrase}"
        except ValueError:
            phrase = ""
        hint = ", and redirects are not followed" if 300 <= answer.status < 400 else ""
        return f"{self._target.host} answered {answer.status}{phrase}{hint}"

    def _after(self, answer: Answer, attempt: int) -> float | None:
        """Not before the receiver wants it, and not before the usual time: an hour of "in 1 s" ends in no death."""
        asked = retry_after(answer.headers.get("retry-after", ""))
        return None if asked is None else max(asked, self._backoff(attempt))


def split(options: WebhookOptions) -> tuple[DurableOptions, WebhookOptions]:
    """The options of the durable hook, and all that the webhook is to know of.

    Raises:
        ConfigurationError: there is no such option.
    """
    if unknown := options.keys() - WebhookOptions.__annotations__.keys():
        raise ConfigurationError(f"a webhook has no option {min(unknown)!r}")
    of_hook = {name: value for name, value in options.items() if name in DurableOptions.__annotations__}
    return cast("DurableOptions", of_hook), options


def body_of(event: Event) -> bytes:
    """What is sent of an event."""
    data: dict[str, Any] = {**event.as_answer(), "eventType": event.event_type}
    return dump({"type": event.event_type, "timestamp": data["createdAt"], "data": data})


def parse_target(url: str, *, allow_http: bool) -> Target:
    """Take a URL apart.

    Raises:
        ConfigurationError: it is not one that events may be sent to. The text does not repeat it: URLs hold keys.
    """
    try:
        if _UNFIT.search(url):
            raise ValueError
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError("its URL is not one") from None
    if parts.scheme not in (("https", "http") if allow_http else ("https",)):
        raise ConfigurationError("its URL is to start with https://, or with http:// and allow_http=True")
    if "@" in parts.netloc:
        raise ConfigurationError("no user and password in its URL: the signature says who sends")
    if not parts.hostname or port == 0:
        raise ConfigurationError("its URL names no host and port")
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    if not path.isascii():
        raise ConfigurationError("what is not ASCII in the path of its URL is to be percent-encoded")
    return Target(parts.scheme, ascii_host(parts.hostname), port or {"https": 443, "http": 80}[parts.scheme], path)


def retry_after(text: str) -> float | None:
    """Seconds from now, of a ``Retry-After`` header: a number or a date; at most :data:`MAX_RETRY_AFTER`.

    ``None`` if it is neither.
    """
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
    else:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or timezone.utc) - datetime.now(timezone.utc)).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _keys(secret: str | Sequence[str]) -> list[bytes]:
    secrets = [secret] if isinstance(secret, str) else secret
    if not isinstance(secrets, Sequence) or not 1 <= len(secrets) <= 2:
        raise ConfigurationError("it needs one secret, or two while one replaces the other")
    return [_key(secret) for secret in secrets]


def _key(secret: Any) -> bytes:
    text = secret.removeprefix(SECRET_PREFIX) if isinstance(secret, str) else secret
    try:
        # Strictly: what is not base64 would be skipped, and a password make a key of nothing.
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (TypeError, ValueError):  # binascii.Error is one
        key = b""
    if text == secret or len(key) not in SECRET_BYTES:
        raise ConfigurationError(
            "a secret is 'whsec_' and 24 to 64 random bytes in base64: 'tk-analytics webhook secret' makes one"
        )
    return key


def _limits(options: WebhookOptions) -> TimeLimits:
    limits = TimeLimits(
        connect=options.get("connect_timeout", CONNECT_TIMEOUT),
        read=options.get("read_timeout", READ_TIMEOUT),
        total=options.get("total_timeout", TOTAL_TIMEOUT),
    )
    if not all(0 < seconds <= 300 for seconds in (limits.connect, limits.read, limits.total)):
        raise ConfigurationError("its time-outs are more than 0 and at most 300 seconds")
    return limits
