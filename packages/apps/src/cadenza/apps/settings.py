"""What an `App` is told: its options, and the environment variables that stand in for those not given.

An option wins over its environment variable, which wins over the default; an option that is None and a
variable that is empty count as not given. Nothing here reads a file: load a .env yourself if you keep one.

docs/reference/settings.md lists them all.

Tokens are got with one of the options token, client_secret, client_certificate_path and
managed_identity_client_id. With one of them as an option, the variables of the others do not count; two
options, or two variables, are an error that names both.
"""

import logging
import os
import re
import warnings
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, get_args
from urllib.parse import urlsplit

from cadenza.api import PUBLIC, ApiClientSettings, CloudEnvironment, Transport, from_name
from cadenza.state import State, Storage

from .budget.limits import TEAMS_RATES, RateLimits
from .http.adapter import HttpServerAdapter
from .turns.claims import LEASE_SECONDS, REQUEST_SECONDS, Strategy

if TYPE_CHECKING:
    from cadenza.api import AgenticIdentity, Token, TokenProviderProtocol, TokenResult

    from .agent365 import Agent365BaggageOptions
    from .context import ActivityContext
    from .stream import Limits

DEFAULT_SERVICE_URL = "https://smba.trafficmanager.net/teams"
DEFAULT_ENDPOINT = "/api/messages"
DEFAULT_PORT = 3978
DEFAULT_CONNECTION_NAME = "graph"
AGENT_365 = "5a807f24-c9de-44ee-a3a7-329e88a00ffc"
"""The app id of the Agent 365 platform (api-surface.md, Appendix B)."""
DEFAULT_LOST_REPLY = "Sorry, I was interrupted while answering, and cannot go on. Please ask again."
DEFAULT_BUSY_REPLY = "I am still working on your last message. Please wait until I am done."
DEFAULT_ERROR_REPLY = "Sorry, something went wrong while answering. Please try again."

TokenCallable: TypeAlias = Callable[[str, str | None], "TokenResult"]
"""Gives a bot token: called with the scope and the tenant, returns the token or an awaitable of it."""

CREDENTIALS = ("token", "client_secret", "client_certificate_path", "managed_identity_client_id")
"""The options that tokens are got with: one of them."""

ErrorReply: TypeAlias = (
    str
    | Mapping[str, str]
    | Callable[["ActivityContext[Any]", Exception], str | Awaitable[str | None] | None]
)
"""A text; or texts by locale ("de-CH", "de"; "" is the one for all others); or a function that gives one."""


Reply: TypeAlias = (
    str | Mapping[str, str] | Callable[["ActivityContext[Any]"], str | Awaitable[str | None] | None]
)
"""As `ErrorReply`, for where there is no error."""

TurnStrategy: TypeAlias = Strategy | Callable[[Mapping[str, Any]], Strategy]
"""A strategy, or a function that is given a message (as JSON) and says which."""


class StreamOptions(TypedDict, total=False):
    """How every stream of the App behaves; see `HttpStream`."""

    limits: "Limits | None"
    fallback: Literal["buffer", "edit"]
    on_expiry: Literal["edit", "rollover"]
    on_empty: Literal["withdraw", "keep"]


class AppTelemetryOptions(TypedDict, total=False):
    """What the App tells OpenTelemetry beside its spans and metrics."""

    agent365: "Agent365BaggageOptions | Literal[False]"
    """How the Agent 365 baggage of each turn is made; False: there is none. Default: without personal data
    (agent365.py)."""


class AppOptions(TypedDict, total=False):
    """The keyword arguments of `App`."""

    client_id: str | None
    """The bot's app id. Without it the App has no credentials."""

    client_secret: str | None
    """The secret that tokens are got with."""

    client_certificate_path: "str | os.PathLike[str] | None"
    """The certificate that tokens are got with: a PEM file with the private RSA key and its certificate, or a
    PFX file. The certificate is sent along, as registrations want it that trust by subject name and issuer.
    The file is read when the App is initialized, which raises a ValueError if it cannot be used, and again
    for each new token: a renewed one needs no restart."""

    client_certificate_password: str | None
    """The password of the certificate's file, if it has one."""

    managed_identity_client_id: str | None
    """The managed identity of the machine that tokens are got with. The bot's own client_id: the bot is that
    managed identity. Another id, or "system" for the one that the system has assigned: the bot's app
    registration trusts it by a federated credential. The machine is asked through `transport`, too: if that
    has a proxy, it must leave out 169.254.169.254."""

    tenant_id: str | None
    """The tenant that bot tokens are got from."""

    token: "TokenCallable | TokenProviderProtocol | None"
    """Gives tokens instead: a function that is called with the scope and the tenant (None: whichever), or an
    object with `get_app_token(scope, tenant_id)`, and, for agentic identities,
    `get_agentic_app_token(scope, agentic_app_id, tenant_id)` and `get_agentic_user_token(scope,
    agentic_app_id, agentic_user_id, tenant_id)`. Returns the token as text, which may be opaque, or an object
    with it as `token`. It is asked for each request, and should itself keep what it has.
    A coroutine function runs on the event loop, **any other in a thread**, so that it may block. All who ask
    for the same while it is busy share its answer. Without a token, and when it raises, the request fails
    with a `TokenError`."""

    service_url: str | None
    """Where proactive messages go to when no other address is known."""

    cloud: CloudEnvironment | str | None
    """The cloud that the bot lives in: Public, USGov, USGovDoD, China (any case), or one of your own."""

    api_client_settings: ApiClientSettings | None
    """`ApiClientSettings(oauth_url=...)`: the token service that knows the users' tokens, such as a regional
    one. Default: the environment's OAUTH_URL, else that of the cloud."""

    default_connection_name: str | None
    """The OAuth connection that is meant where signing in names none (`ctx.connection_name`). Default: that
    of the only flow (`add_oauth_flow`); graph in a bot without flows; none in a bot with several, where
    `ctx.sign_in()`, `ctx.sign_out()` and `ctx.get_user_token()` without a name raise a ValueError. Giving it
    lets `fetch_user_token` be on."""

    fetch_user_token: bool | None
    """Ask the token service for the user's token before the handlers of each activity, so that
    `ctx.is_signed_in`, `ctx.user_token` and `ctx.user_graph` know it: a request each time, of 4 s at most.
    Default: only if `default_connection_name` is given. Without it, ask where you need it:
    `await ctx.get_user_token()`."""

    agentic_token: "Callable[[AgenticIdentity], Token] | None"
    """Gives the token to write with as an agentic identity (`app.send(agentic_identity=...)`): called with
    the identity, returns what `ApiClient` takes as its token, such as a coroutine function. Default: they are
    got with the App's credentials."""

    allowed_callers: Collection[str] | None
    """App ids of Entra ID whose own tokens may post activities, beside those of the Bot Framework. Whoever is
    listed can speak as any user, so list services only. Default: the Agent 365 platform (`AGENT_365`);
    `()`: nobody."""

    application_id_uri: str | None
    """The app's id URI as Entra knows it (`api://...`), one more audience for tokens of tabs."""

    dangerously_allow_unauthenticated_requests: bool | None
    """Accept requests that nobody vouches for, for work on one machine. Anybody who reaches the port can
    then speak as any user. What answers them carries the bot's token only to the scheme, host and port of
    `service_url`, and only on this machine; what the bot asks of its own accord, to the cloud's token service
    and to any loopback address. So set SERVICE_URL to the local Teams that you work with: else signing in
    does not work there, since the token service is asked without the bot's token."""

    skip_auth: bool | None
    """Deprecated name of `dangerously_allow_unauthenticated_requests`."""

    messaging_endpoint: str | None
    """The path that Teams posts to. Default: /api/messages."""

    host: str | None
    """The address to listen on. Default: 0.0.0.0 (all) where tokens are checked; else 127.0.0.1, since what
    lets anybody speak must not be reachable from outside unless you say so."""

    max_body_bytes: int | None
    """The largest request body that is read; a larger one is answered with 413. Default: 1 MiB."""

    http_server_adapter: "HttpServerAdapter | None"
    """The server to sit on. Default: an `AiohttpAdapter` of its own."""

    transport: Transport | None
    """What outbound requests go through. Default: an `AiohttpTransport` of its own; one given here is not
    closed by the App."""

    plugins: Sequence[Any] | None
    """What is added to the bot as a whole: objects of classes marked by `@Plugin()`, in the order in which
    they are started (plugins/plugin.py). They may bring channels of their own (plugins/channel.py)."""

    storage: Storage[str, Any] | None
    """`app.storage` and `ctx.storage`. Default: a `LocalStorage`."""

    state: State | bool | None
    """Where activities are held until their turn is over, and where `ctx.state` is kept: a `MemoryState` (the
    default), `SQLiteState`, `RedisState`, or one of your own. The App starts and closes it. True and False
    are accepted for the sake of the reference's bots, and mean the default."""

    turn_strategy: TurnStrategy | None
    """What becomes of a message that comes while its conversation is busy. "queue" (the default): it waits.
    "interrupt": it stops the running turn, whose stream is finalized with what it has. "latest": of those
    that wait only the newest runs. "reject": it is not handled, and the user is told `busy_reply`.
    "concurrent": it runs at once, and nothing is in order. Everything but messages waits in any case.
    Processes that share a state must agree: a function must give the same for the same message."""

    lease_seconds: float | None
    """How long a conversation stays with a process that has fallen silent, before another takes it over; and
    with it how long recovery takes after a crash. Matters with a state that outlives the process. Must be
    longer than `request_seconds`. Default: 45 s."""

    request_seconds: float | None
    """With a state that outlives the process: the longest that a request of a turn may take. A turn begins no
    request so long before its lease ends, so that none is under way when another process takes over.
    Default: 15 s."""

    rate_limits: RateLimits | None
    """How often the bot may send, in each conversation and tenant. Default: what Teams allows, less a tenth
    (budget/limits.py). `RateLimits(conversation=(), tenant=None)`: as often as it likes."""

    keep_references: bool | None
    """Keep the `ConversationReference` of every conversation that somebody wrote in, for `App.send` and
    `App.references`. Default: no."""

    invoke_seconds: float | None
    """How long an invoke's handler may take for its answer to count; then 504 is answered. Default: 10 s."""

    stop_seconds: float | None
    """How long a handler may clean up after it was cancelled (Stop, shutdown). Default: 5 s."""

    shutdown_seconds: float | None
    """How long `app.stop()` lets running turns go on before it cancels them. Default: 15 s, so that all is
    over within the 30 s that process managers use to give after SIGTERM."""

    error_reply: "ErrorReply | Literal[False] | None"
    """What the user is told when the handler of a message raises; False: nothing.
    A function may return None: nothing this time."""

    lost_reply: "Reply | Literal[False] | None"
    """What the user is told when a process died while it answered; False: nothing. Not used where a handler
    of `on_turn_lost` is registered."""

    busy_reply: "Reply | Literal[False] | None"
    """What the user is told with `turn_strategy="reject"` when the bot is busy; False: nothing."""

    stream: StreamOptions | None
    """Options of every stream of the App."""

    telemetry: AppTelemetryOptions | None
    """What OpenTelemetry is told of turns beside spans and metrics: `{"agent365": {...}}`, or `{"agent365":
    False}`. Matters only where an SDK of OpenTelemetry is set up."""

    logger: logging.Logger | None
    """Default: the logger `cadenza.apps`. The App gives it a `LogFields`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of an App as plain values, with environment and defaults filled in."""

    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    client_certificate_path: "str | os.PathLike[str] | None" = None
    client_certificate_password: str | None = field(default=None, repr=False)
    managed_identity_client_id: str | None = None
    tenant_id: str | None = None
    token: "TokenCallable | TokenProviderProtocol | None" = field(default=None, repr=False)
    service_url: str = DEFAULT_SERVICE_URL
    oauth_url: str | None = None
    default_connection_name: str = DEFAULT_CONNECTION_NAME
    fetch_user_token: bool | None = None
    agentic_token: "Callable[[AgenticIdentity], Token] | None" = None
    allowed_callers: Collection[str] = (AGENT_365,)
    application_id_uri: str | None = None
    cloud: CloudEnvironment = PUBLIC
    allow_unauthenticated: bool = False
    messaging_endpoint: str = DEFAULT_ENDPOINT
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    max_body_bytes: int = 1024 * 1024
    invoke_seconds: float = 10.0
    stop_seconds: float = 5.0
    shutdown_seconds: float = 15.0
    turn_strategy: TurnStrategy = "queue"
    lease_seconds: float = LEASE_SECONDS
    request_seconds: float = REQUEST_SECONDS
    rate_limits: RateLimits = TEAMS_RATES
    keep_references: bool = False
    error_reply: ErrorReply | Literal[False] = DEFAULT_ERROR_REPLY
    lost_reply: Reply | Literal[False] = DEFAULT_LOST_REPLY
    busy_reply: Reply | Literal[False] = DEFAULT_BUSY_REPLY
    agent365: "Agent365BaggageOptions | Literal[False] | None" = None

    @classmethod
    def resolve(cls, options: AppOptions, environ: Mapping[str, str]) -> "Settings":
        """Raises TypeError for an option that does not exist, ValueError for a value that makes no sense;
        both name the option or variable."""
        for name in _ELSEWHERE.keys() & options.keys():
            if options[name]:  # type: ignore[literal-required]
                raise TypeError(f"App does not take the option {name}: {_ELSEWHERE[name]}.")
        unknown = sorted(set(options) - set(AppOptions.__annotations__) - set(_ELSEWHERE))
        if unknown:
            raise TypeError(f"App has no option {', '.join(unknown)}{_meant(unknown[0])}")
        unknown = sorted(set(options.get("stream") or {}) - set(StreamOptions.__annotations__))
        if unknown:
            raise TypeError(f"The option stream of App has no {', '.join(unknown)}.")
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if not isinstance(given.get("state"), bool):
            _check_part("state", given.get("state"), State)
        _check_part("http_server_adapter", given.get("http_server_adapter"), HttpServerAdapter)
        for name in _SWITCHES & given.keys():
            if not isinstance(given[name], bool):
                raise TypeError(f"{name} is {given[name]!r}: it must be True or False.")

        def choose(option: str) -> Any:
            return given.get(option) or environ.get(option.upper()) or None

        cloud = choose("cloud") or PUBLIC
        api_settings = given.get("api_client_settings")
        values: dict[str, Any] = {
            "client_id": choose("client_id"),
            "tenant_id": choose("tenant_id"),
            "service_url": choose("service_url"),
            "oauth_url": (api_settings and api_settings.oauth_url) or environ.get("OAUTH_URL") or None,
            "cloud": from_name(cloud) if isinstance(cloud, str) else cloud,
            "allow_unauthenticated": _allow_unauthenticated(given, environ),
            "port": _port(environ.get("PORT", "")),
            **_credential(given, environ),
        }
        if "telemetry" in given:
            values["agent365"] = _agent365(given["telemetry"])
        for name in cls.__dataclass_fields__:
            if name in given:
                values.setdefault(name, given[name])
        if "host" not in values:
            checked = values["client_id"] and not values["allow_unauthenticated"]
            values["host"] = "0.0.0.0" if checked else "127.0.0.1"
        for name in ("client_id", "tenant_id", "client_secret", "managed_identity_client_id", "service_url"):
            _check_text(name if given.get(name) else name.upper(), values[name])
        values = {name: value for name, value in values.items() if value is not None}
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        if self.oauth_url is not None and not self.cloud.trusts(self.oauth_url):
            raise ValueError(
                f"OAUTH_URL (or oauth_url of api_client_settings) is {self.oauth_url!r}, to which the bot's "
                f"token is not sent: it must be {self.cloud.token_service_url}, one of its regions such as "
                f"{_region(self.cloud.token_service_url)}, or a host that you have added to service_hosts of "
                "the cloud."
            )
        if not self.messaging_endpoint.startswith("/"):
            raise ValueError(f'messaging_endpoint must start with "/", not {self.messaging_endpoint!r}.')
        if self.token is not None:
            _check_provider(self.token)
        _check_callers(self.allowed_callers)
        for name in ("max_body_bytes", "invoke_seconds", "stop_seconds", "shutdown_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, and is {getattr(self, name)!r}.")
        if not callable(self.turn_strategy) and self.turn_strategy not in get_args(Strategy):
            known = ", ".join(get_args(Strategy))
            raise ValueError(f"turn_strategy is {self.turn_strategy!r}: it must be one of {known}.")
        if not (isfinite(self.lease_seconds) and isfinite(self.request_seconds)):
            raise ValueError("lease_seconds and request_seconds must be finite numbers of seconds.")
        if self.lease_seconds <= self.request_seconds:
            raise ValueError(
                f"lease_seconds is {self.lease_seconds:g}, which must be more than request_seconds "
                f"({self.request_seconds:g}): a conversation must stay with its process while a request runs."
            )


def _check_text(name: str, value: object) -> None:
    """Raises TypeError or ValueError for what cannot be meant; the text itself is told if it is no secret."""
    if value is None:
        return
    kind, secret = name.lower(), name.lower() == "client_secret"
    if not isinstance(value, str):
        raise TypeError(f"{name} is of type {type(value).__name__}: it must be text.")
    shown = "" if secret else f" is {value!r}, which"
    if value.strip() != value:
        raise ValueError(f"{name}{shown} has blanks or line ends at its ends: give it without.")
    if kind == "service_url":
        _check_url(name, value)
    elif not secret and not _ID.fullmatch(value):
        raise ValueError(f"{name} is {value!r}: an id has letters, digits, hyphens, dots and nothing else.")


def _check_url(name: str, value: str) -> None:
    try:
        url = urlsplit(value)
        good = url.scheme in ("http", "https") and bool(url.hostname)
    except ValueError:
        good = False
    if not good or re.search(r"\s", value):
        raise ValueError(f"{name} is {value!r}: it must be a URL that begins with https:// (or http://).")


def _check_provider(token: Any) -> None:
    """Raises TypeError if tokens cannot be asked of it; tells its type, not itself: it may be a token."""
    from .routing.router import checked  # which knows handlers, and they settings

    if not (callable(token) or callable(getattr(token, "get_app_token", None))):
        raise TypeError(
            f"token is of type {type(token).__name__}, but must be a function from scope and tenant to a "
            "token, or an object with get_app_token."
        )
    if not hasattr(token, "get_app_token"):
        checked(token, "token", "scope", "tenant_id")
        return
    for method, arguments in _PROVIDER.items():
        if hasattr(token, method):
            checked(getattr(token, method), f"token, a provider of type {type(token).__name__},", *arguments)


def _check_callers(allowed: object) -> None:
    if isinstance(allowed, str) or not isinstance(allowed, Collection):
        raise TypeError(f"allowed_callers is {allowed!r}: it must be a list of app ids.")
    for app_id in allowed:
        if not isinstance(app_id, str) or not app_id or "*" in app_id:
            raise ValueError(
                f"allowed_callers has {app_id!r}, which is no app id. There is no way to allow any app: it "
                "could speak as any user."
            )


def _check_part(option: str, value: object, kind: type) -> None:
    """Raises TypeError if `value` has not all that the protocol `kind` asks for. None is right."""
    if value is None:
        return
    where = f"{option} is {value!r}, but must be a {kind.__name__} ({kind.__module__})"
    if isinstance(value, type):
        raise TypeError(f"{where}: this is a class, give an object of it.")
    wanted = {name for name in (*vars(kind), *kind.__annotations__) if not name.startswith("_")}
    missing = sorted(name for name in wanted - set(dir(value)) if not hasattr(value, name))
    if missing:
        raise TypeError(f"{where}: it has no {', '.join(missing)}.")


_SWITCHES = {
    "fetch_user_token",
    "keep_references",
    "dangerously_allow_unauthenticated_requests",
    "skip_auth",
}
"""Options that are True or False."""

_ID = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9._-]+")
"""An id of Entra ID, or a tenant's domain."""

_PROVIDER = {
    "get_app_token": ("scope", "tenant_id"),
    "get_agentic_app_token": ("scope", "agentic_app_id", "tenant_id"),
    "get_agentic_user_token": ("scope", "agentic_app_id", "agentic_user_id", "tenant_id"),
}
"""What a provider object is asked, by the names and the order of the arguments."""

_INSTEAD = {
    "oauth_url": "give api_client_settings=ApiClientSettings(oauth_url=...), or OAUTH_URL",
    "port": "give it to app.start(port), or as PORT",
}
"""What is given in another way."""

_ELSEWHERE = {
    "client": "outbound requests go through `transport`; give it an AiohttpTransport with your proxy, TLS "
    "context or time-outs",
}
"""Options of the reference that mean nothing here, and what to do instead. Empty ones are let pass."""


def _meant(unknown: str) -> str:
    """What somebody has meant who gave an option that there is not; ends the sentence."""
    if unknown in _INSTEAD:
        return f": {_INSTEAD[unknown]}."
    from difflib import get_close_matches

    near = get_close_matches(unknown, AppOptions.__annotations__, 1)
    return f": did you mean {near[0]}?" if near else "."


def _region(token_service_url: str) -> str:
    return token_service_url.replace("://", "://europe.")


_PASSWORD = "client_certificate_password"
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def _credential(given: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The option that tokens are got with, and its password: what is given wins over the environment."""
    options = [name for name in CREDENTIALS if name in given and given[name] != ""]
    variables = [name.upper() for name in CREDENTIALS[1:] if environ.get(name.upper())]
    both = options or variables
    if len(both) > 1:
        raise ValueError(
            f"{', '.join(both[:-1])} and {both[-1]} are {'both' if len(both) == 2 else 'all'} given, and "
            "tokens are got with one alone: leave out all but one."
        )
    has_id = given.get("client_id") or environ.get("CLIENT_ID")
    if options and not has_id:
        raise ValueError(
            f"{options[0]} is given without client_id (or CLIENT_ID): nobody is there to speak as."
        )
    found: dict[str, Any] = {name: given[name] for name in options}
    if not options:
        found = {name.lower(): environ[name] for name in variables}
    password, variable = given.get(_PASSWORD), environ.get(_PASSWORD.upper())
    if "client_certificate_path" in found:
        password = password or variable or None
    elif password or (variable and not options):
        name = _PASSWORD if password else _PASSWORD.upper()
        raise ValueError(f"{name} is given without client_certificate_path (or CLIENT_CERTIFICATE_PATH).")
    return {**dict.fromkeys(CREDENTIALS), **found, _PASSWORD: password}


def _agent365(telemetry: object) -> Any:
    """The part of the option `telemetry` that there is; raises as `resolve` does."""
    if not isinstance(telemetry, Mapping):
        raise TypeError(f'telemetry is {telemetry!r}: it must be a dict, such as {{"agent365": False}}.')
    if unknown := sorted(set(telemetry) - set(AppTelemetryOptions.__annotations__)):
        raise TypeError(f"The option telemetry of App has no {', '.join(map(str, unknown))}, only agent365.")
    if telemetry.get("agent365"):
        from .agent365 import check_options

        check_options(telemetry["agent365"])
    return telemetry.get("agent365")


def _allow_unauthenticated(given: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    if "skip_auth" in given:
        warnings.warn(
            "skip_auth is called dangerously_allow_unauthenticated_requests now.",
            DeprecationWarning,
            stacklevel=4,
        )
    for option in ("dangerously_allow_unauthenticated_requests", "skip_auth"):
        if option in given:
            return bool(given[option])
    name = "DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS"
    value = environ.get(name, "").strip().lower()
    if value in _TRUE:
        return True
    if value and value not in _FALSE:
        raise ValueError(f"{name} is {environ[name]!r}: it must be one of {', '.join(_TRUE + _FALSE)}.")
    return False


def _port(value: str) -> int | None:
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and int(value) <= 65535):
        raise ValueError(f"PORT is {value!r}: it must be a number from 0 to 65535.")
    return int(value)
