"""Every option, once: its name, type, default and reason.

The same names are read from code (``Analytics(prefix=…)``), from the framework's configuration
(``TK_ANALYTICS = {"PREFIX": …}``, in capitals or not) and from the environment
(``TK_ANALYTICS_PREFIX``), in this order of precedence.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict

from tk_analytics_mw.addresses import Reachable
from tk_analytics_mw.auth.tokens import PrivateToken, PublicToken
from tk_analytics_mw.errors import ConfigurationError
from tk_analytics_mw.event_types import EventTypes

ENVIRONMENT_PREFIX: Final = "TK_ANALYTICS_"
APP_VARIABLE: Final = "TK_ANALYTICS_APP"
"""Tells the command line which application is meant; it is no setting of that application."""


def _words(value: Any) -> Any:
    """A list in an environment variable: JSON, or words between commas."""
    if isinstance(value, str):
        return (
            _json(value)
            if value.lstrip().startswith("[")
            else [word.strip() for word in value.split(",") if word.strip()]
        )
    return value


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("is not valid JSON") from None


_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def _path(value: Any) -> Any:
    if isinstance(value, str):
        value = value.rstrip("/")
        if _PATH.fullmatch(value) is None:
            raise ValueError("is a path such as /api/analytics")
    return value


_STORED: Final = "stored"
ListedToken = PublicToken | PrivateToken


def _tokens(value: Any) -> Any:
    if isinstance(value, str):
        value = [_STORED] if value.strip() == _STORED else _json(value)
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise ValueError("is a list of PublicToken(…) and PrivateToken(…), or 'stored'")
    return tuple(_token(item) for item in value)


def _token(item: Any) -> ListedToken | Literal["stored"]:
    if isinstance(item, (PublicToken, PrivateToken)):
        return item
    if item == _STORED:
        return "stored"
    if isinstance(item, Mapping):
        options = {str(name).lower(): option for name, option in item.items()}
        try:
            return PublicToken(**options) if "domains" in options else PrivateToken(**options)
        except TypeError:
            pass
    raise ValueError('has an entry that is no PublicToken(…), PrivateToken(…) or {"token", "org_id", "domains"?}')


Path = Annotated[str, BeforeValidator(_path)]
Words = BeforeValidator(_words)


class Settings(BaseModel):
    """The options of one :class:`~tk_analytics_mw.Analytics`."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    prefix: Path = Field("/api/analytics", description="Path below which the API answers.")
    aliases: Annotated[tuple[Path, ...], Words] = Field(
        (), description="Further prefixes of the same API: ad-block lists know `/api/analytics/`, not a path of yours."
    )
    private_only: Annotated[frozenset[str], Words] = Field(
        frozenset(), description="Event types that only a private token or host code may create."
    )
    storage: Any = Field(
        "sqlite:///analytics.db",
        description='Where events are kept: a URL, `"django"`, an object, or `"package.module:Class"`.',
        repr=False,  # a URL may hold a password
    )
    tokens: Annotated[tuple[ListedToken | Literal["stored"], ...], BeforeValidator(_tokens)] = Field(
        (),
        description='Those that are accepted: a list; `"stored"`, alone or in it, for those of `tk-analytics token`.',
    )
    authenticator: Any = Field(
        None,
        description='Your own scheme, asked before the tokens: a function, an object, or `"package.module:Class"`.',
    )
    identify: Any = Field(
        None,
        description="Whom your own login knows, in place of a page's `userId`: a function of your framework's request, "
        '`"flask-login"`, `"django"`, or `"package.module:function"`.',
    )
    public_orgs: Annotated[frozenset[str], Words] = Field(
        frozenset(), description="Organisations that every token may speak about."
    )
    event_types: Annotated[tuple[str, ...], Words] = Field(
        (), description="Further event types, besides the contract's."
    )
    durability: Literal["full", "relaxed"] = Field(
        "full", description="`full`: an answer 200 survives a power cut. `relaxed`: only a crash of the process."
    )
    max_body_bytes: int = Field(65_536, gt=0, description="Size of one event: what a browser's beacon may carry.")
    max_batch_bytes: int = Field(1_048_576, gt=0, description="Size of a batch.")
    max_batch_events: int = Field(500, gt=0, description="Events in a batch.")
    queue_limit: int = Field(10_000, gt=0, description="Events that may wait for a commit; more get 503 at once.")
    commit_timeout: float = Field(
        5.0,
        gt=0,
        le=3600,
        description="Seconds an event may wait for its turn, and its commit for the database, before 503.",
    )
    allow_private_token_in_query: bool = Field(
        False, description="Accept a private token as `bearer_token`. Access logs will hold it."
    )
    org_from_token: bool = Field(False, description="Fill a missing `orgId` with the token's organisation.")
    store_user_agent: bool = Field(False, description="Keep the User-Agent as it came, beside what was read from it.")
    respect_gpc: Literal["ignore", "anonymise", "drop"] = Field(
        "anonymise", description="What `Sec-GPC: 1` does: nothing, removes the `userId`, or drops the event."
    )
    drop_bots: bool = Field(
        False,
        description="Answer bots that hold a public token with 200 and store nothing. Else they are stored, marked.",
    )
    deliver_in_process: bool = Field(
        False, description="Call durable hooks in a thread of each process that stores events: for small sites."
    )
    keep_deliveries_days: float = Field(
        7.0, ge=0, le=36_500, description="How long settled deliveries can be looked at and replayed; dead ones stay."
    )
    retain_days: float | None = Field(
        None, gt=0, le=36_500, description="Days that events are kept. Older ones are removed as others come in."
    )
    webhook_allow: Annotated[frozenset[str], Words] = Field(
        frozenset(),
        description="Hosts, addresses and networks that webhooks may call although they are not public: `10.1.0.0/16`.",
    )


class Options(TypedDict, total=False):
    """The keyword arguments of :class:`~tk_analytics_mw.Analytics`: the fields of :class:`Settings`."""

    prefix: str
    aliases: Sequence[str]
    private_only: Iterable[str]
    storage: Any
    tokens: Iterable[ListedToken | Literal["stored"]] | Literal["stored"]
    authenticator: Any
    identify: Any
    public_orgs: Iterable[str]
    event_types: Sequence[str]
    durability: Literal["full", "relaxed"]
    max_body_bytes: int
    max_batch_bytes: int
    max_batch_events: int
    queue_limit: int
    commit_timeout: float
    allow_private_token_in_query: bool
    org_from_token: bool
    store_user_agent: bool
    respect_gpc: Literal["ignore", "anonymise", "drop"]
    drop_bots: bool
    deliver_in_process: bool
    keep_deliveries_days: float
    retain_days: float | None
    webhook_allow: Iterable[str]


def collect(code: Mapping[str, Any], framework: Mapping[str, Any] | None, environ: Mapping[str, str]) -> Settings:
    """Merge the sources into :class:`Settings`: code before framework before environment.

    Args:
        code: options given to :class:`~tk_analytics_mw.Analytics`.
        framework: the value of ``TK_ANALYTICS`` in Flask's config or Django's settings, if there is one.
        environ: the environment.

    Raises:
        ConfigurationError: an option is unknown or invalid. The text names it as its source spells it.
    """
    if framework is not None and not isinstance(framework, Mapping):
        raise ConfigurationError("TK_ANALYTICS is a dict of options")
    values: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    from_environment = {key: value for key, value in environ.items() if key.startswith(ENVIRONMENT_PREFIX)}
    from_environment.pop(APP_VARIABLE, None)
    sources: tuple[tuple[Mapping[str, Any], Callable[[str], str], str], ...] = (
        (from_environment, lambda key: key.removeprefix(ENVIRONMENT_PREFIX).lower(), "the environment variable {}"),
        (framework or {}, lambda key: str(key).lower(), "TK_ANALYTICS[{!r}]"),
        (code, str, "Analytics({}=…)"),
    )
    for source, name_of, shown in sources:
        for key, value in source.items():
            name = name_of(key)
            if name not in Settings.model_fields:
                near = difflib.get_close_matches(name, Settings.model_fields, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(Settings.model_fields)}"
                raise ConfigurationError(f"{shown.format(key)} is no setting; {hint}")
            values[name] = value
            spelled[name] = shown.format(key)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, spelled)) from None
    _check(settings, spelled)
    return settings


def _explain(error: ValidationError, spelled: Mapping[str, str]) -> str:
    lines = []
    for detail in error.errors(include_url=False, include_input=False):
        message = str(detail.get("ctx", {}).get("error", detail["msg"]))
        lines.append(f"{spelled.get(str(detail['loc'][0]), detail['loc'][0])}: {message}")
    return "; ".join(lines)


def _check(settings: Settings, spelled: Mapping[str, str]) -> None:
    for value in settings.event_types:
        if not value.strip() or len(value) > 100:
            raise ConfigurationError(f"{spelled['event_types']}: an event type is a text of 1 to 100 characters")
    try:
        Reachable(settings.webhook_allow)
    except ConfigurationError as error:
        raise ConfigurationError(f"{spelled['webhook_allow']}: {error}") from None
    types = EventTypes(settings.event_types)
    for value in settings.private_only:
        try:
            types.require(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{spelled['private_only']}: {error}") from None
