"""The client of the Bot Connector REST API: URLs, tokens, retries and errors in one place."""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, cached_property, lru_cache
from inspect import isawaitable
from json import JSONEncoder
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable
from urllib.parse import quote, urlencode

import pydantic  # not from it: its classes load when they are used
from pydantic_core import PydanticSerializationError

from .. import telemetry
from ..clouds import PUBLIC, CloudEnvironment, has_plain_path, is_http_url, is_loopback_url, origin
from ..errors import (
    ApiError,
    ConnectError,
    InvalidResponseError,
    NotFoundError,
    RequestTimeoutError,
    TransportError,
    UnauthorizedError,
    UntrustedHostError,
    status_error,
)
from ..telemetry.names import Attribute, AuthFlow, Span
from .retry import DEFAULT_RETRY, RetryPolicy
from .settings import ApiClientSettings, merge_api_client_settings
from .transport import Request, Response, Transport

if TYPE_CHECKING:
    from ..models.agentic_identity import AgenticIdentity, AgenticIdentityScope
    from .bots import BotClient
    from .conversations import ConversationClient
    from .grouped import ReactionClient
    from .meetings import MeetingClient
    from .observed import Watched
    from .teams import TeamClient
    from .users import UserClient

T = TypeVar("T")

TOKEN_TIMEOUT = 30.0
"""Longest wait for the bot's token, in seconds. Ours."""


@runtime_checkable
class TokenSource(Protocol):
    """Something that can get a token again after the service refused the one it gave."""

    async def get(self, *, fresh: bool) -> str | None:
        """The bot's token, or None to send without one. ``fresh`` asks for one that is not from a cache."""
        ...


Token = str | TokenSource | Callable[[], str | Awaitable[str | None] | None] | None
"""What a client takes as its token; a callable is asked before each attempt, for TOKEN_TIMEOUT seconds."""


class ApiClient:
    """The REST API at one service URL, and the token service of its cloud.

    ``token`` goes only to https hosts of ``cloud.service_hosts``, to the cloud's token service and its
    regional hosts, and to a service URL on loopback; a call that would take it elsewhere raises
    UntrustedHostError and sends nothing. Without a ``transport`` the client makes an
    :class:`~cadenza.api.AiohttpTransport` with its default time-outs, and closes that one with itself; a
    given transport is left to who gave it. ``retry`` rules every call that does not bring its own policy.
    ``api_client_settings.oauth_url`` takes the place of the cloud's token service. ``agentic_token`` gives
    the token of an agentic identity (:meth:`for_agentic_identity`).
    """

    def __init__(
        self,
        service_url: str,
        *,
        token: Token = None,
        transport: Transport | None = None,
        cloud: CloudEnvironment = PUBLIC,
        retry: RetryPolicy = DEFAULT_RETRY,
        api_client_settings: ApiClientSettings | None = None,
        agentic_token: Callable[[AgenticIdentity], Token] | None = None,
    ) -> None:
        self._service_url = service_url.rstrip("/")
        self._cloud = cloud
        self.retry = retry
        self.transport = _default_transport() if transport is None else transport
        self._owns_transport = transport is None
        self._token = self._bot_token = token
        self._settings = api_client_settings
        self._agentic_token = agentic_token
        self._flow: str = AuthFlow.APP_ONLY

    @property
    def service_url(self) -> str:
        """Where the paths begin, without a slash at the end. For another one see :meth:`at`."""
        return self._service_url

    @property
    def cloud(self) -> CloudEnvironment:
        """Says which hosts may have the token."""
        return self._cloud

    @property
    def token_service_url(self) -> str:
        """Where user tokens are asked for: the settings' ``oauth_url``, else the token service of the cloud.
        No slash at the end."""
        return merge_api_client_settings(self._settings, self._cloud).oauth_url or ""

    # The clients of the parts are not kept: the two would refer to each other.

    @property
    def conversations(self) -> ConversationClient:
        """Messages, members, reactions and conversations."""
        from .conversations import ConversationClient

        return ConversationClient(self)

    @property
    def teams(self) -> TeamClient:
        """Teams and their channels."""
        from .teams import TeamClient

        return TeamClient(self)

    @property
    def meetings(self) -> MeetingClient:
        """Meetings, their participants, and notifications in them."""
        from .meetings import MeetingClient

        return MeetingClient(self)

    @property
    def users(self) -> UserClient:
        """The tokens of users, at the token service."""
        from .users import UserClient

        return UserClient(self)

    @property
    def bots(self) -> BotClient:
        """Links to sign in, at the token service."""
        from .bots import BotClient

        return BotClient(self)

    @property
    def reactions(self) -> ReactionClient:
        """Deprecated: use ``conversations.add_reaction`` and ``conversations.delete_reaction``."""
        from .grouped import ReactionClient

        warnings.warn(
            "api.reactions is deprecated: use api.conversations.add_reaction and delete_reaction",
            DeprecationWarning,
            stacklevel=2,
        )
        return ReactionClient(self)

    def at(self, service_url: str) -> ApiClient:
        """A client for another service URL that shares everything else, the transport included. Cheap; needs
        no closing."""
        return self._sharing(service_url, self.transport, self._token)

    from_service_url = at
    """The reference's name for :meth:`at`."""

    def through(self, transport: Transport) -> ApiClient:
        """A client that shares everything else, and sends through `transport`, which it does not close."""
        return self._sharing(self._service_url, transport, self._token)

    def unsigned(self, service_url: str) -> ApiClient:
        """A client for another service URL that sends no token, and shares everything else."""
        return self._sharing(service_url, self.transport, None)

    def for_agentic_identity(self, agentic_identity: AgenticIdentity) -> ApiClient:
        """A client that shares everything else, and writes as an agentic identity, with that one's token.

        Raises ValueError if the client was made without ``agentic_token``.
        """
        if self._agentic_token is None:
            raise ValueError(
                f"no token is known for the agentic identity {agentic_identity.agentic_app_id!r}: make the "
                "ApiClient (or the App) with agentic_token=, a function from an AgenticIdentity to its token"
            )
        client = self._sharing(self._service_url, self.transport, self._agentic_token(agentic_identity))
        as_user = bool(agentic_identity.agentic_user_id)
        client._flow = AuthFlow.AGENTIC_USER if as_user else AuthFlow.AGENTIC_APP
        return client

    def clone(
        self, *, service_url: str | None = None, agentic_identity: AgenticIdentityScope = None
    ) -> ApiClient:
        """A client for another service URL or identity; what is None stays as it is, AGENTIC_IDENTITY_CLEAR
        goes back to the bot's own token. Shares everything else, and needs no closing."""
        client = self.at(self._service_url if service_url is None else service_url)
        if isinstance(agentic_identity, str):
            client = self._sharing(client.service_url, self.transport, self._bot_token)
            client._flow = AuthFlow.APP_ONLY
            return client
        return client if agentic_identity is None else client.for_agentic_identity(agentic_identity)

    def _sharing(self, service_url: str, transport: Transport, token: Token) -> ApiClient:
        client = ApiClient(
            service_url,
            token=token,
            transport=transport,
            cloud=self._cloud,
            retry=self.retry,
            api_client_settings=self._settings,
            agentic_token=self._agentic_token,
        )
        client._bot_token = self._bot_token
        client._flow = self._flow
        return client

    async def close(self) -> None:
        """Close the transport if this client made it; otherwise do nothing. May be called more than once."""
        if self._owns_transport:
            await self.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(
        self,
        method: str,
        *segments: str,
        query: Mapping[str, str | int | bool | None] | None = None,
        json: object | None = None,
        form: Mapping[str, str] | None = None,
        retry: RetryPolicy | None = None,
        fresh_token: bool = False,
        timeout: float | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> Response:
        """Send ``json`` (a model, or what JSON can hold; bytes go as they are) or the fields of a ``form`` to
        the path that ``segments`` make below the service URL, and return a successful answer.

        Each segment is percent-encoded and stays one segment, whatever it holds; an empty one, ``.`` and
        ``..`` raise ValueError, because no encoding keeps servers from resolving them. Query parameters that
        are None are not sent. ``retry`` replaces the client's policy; ``fresh_token`` asks a TokenSource for
        a new token; ``timeout`` is the longest wait for one answer, in seconds (None: the transport's).
        ``attributes`` are more of the request's span, where OpenTelemetry is configured.

        Raises a subclass of HttpStatusError for a status of 300 or more, of TransportError where no answer
        was read, and UntrustedHostError. One exception: a DELETE that is repeated because its first answer
        was lost and then finds nothing has succeeded, and its 404 is returned.
        """
        request = self._request(method, segments, query, json, form)
        watched = None
        if telemetry.active():
            from .observed import Watched

            watched = Watched(self, method, segments, query, json, attributes)
        policy = self.retry if retry is None else retry
        return await self._send(request, policy, fresh_token, timeout, watched)

    async def fetch(
        self,
        read: Callable[[Any], T],
        method: str,
        *segments: str,
        query: Mapping[str, str | int | bool | None] | None = None,
        json: object | None = None,
        form: Mapping[str, str] | None = None,
        text: bool = False,
    ) -> T:
        """:meth:`call`, and what ``read`` makes of the answer's JSON (None for an empty body), or of its
        ``text``.

        Raises InvalidResponseError if the body is not JSON or ``read`` raises ValueError.
        """
        request = self._request(method, segments, query, json, form)
        watched = None
        if telemetry.active():
            from .observed import Watched

            watched = Watched(self, method, segments, query, json)
        response = await self._send(request, self.retry, False, None, watched)
        try:
            return read(response.body.decode() if text else response.json())
        except ValueError as error:
            raise InvalidResponseError(
                f"{request.method} {request.url} was answered {response.status}, but its body of "
                f"{len(response.body)} bytes is not what was expected",
                request,
            ) from error

    def _request(
        self,
        method: str,
        segments: tuple[str, ...],
        query: Mapping[str, str | int | bool | None] | None,
        json: object | None,
        form: Mapping[str, str] | None = None,
    ) -> Request:
        url = "/".join([self.service_url, *map(_segment, segments)])
        given = {name: _query_value(value) for name, value in (query or {}).items() if value is not None}
        if given:
            url += "?" + urlencode(given, quote_via=quote)
        headers = {"Accept": "application/json", "User-Agent": _user_agent()}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            return Request(method, url, headers, urlencode(form).encode())
        if json is None:
            return Request(method, url, headers)
        return Request(method, url, {**headers, "Content-Type": "application/json"}, encode_json(json))

    async def _send(
        self,
        request: Request,
        policy: RetryPolicy,
        fresh_token: bool,
        timeout: float | None,
        watched: Watched | None,
    ) -> Response:
        loop = asyncio.get_running_loop()
        began = loop.time()
        attempt = 1
        may_refresh = policy.refresh_token and isinstance(self._token, TokenSource) and not fresh_token
        maybe_applied = False
        while True:
            try:
                attempt_it = self._attempt(request, fresh_token, timeout)
                return await (attempt_it if watched is None else watched.request(attempt_it))
            except ApiError as failure:
                if maybe_applied and isinstance(failure, NotFoundError) and request.method == "DELETE":
                    return Response(failure.status, failure.headers, failure.body)
                if may_refresh and isinstance(failure, UnauthorizedError):
                    may_refresh, fresh_token = False, True
                    continue
                delay = policy.delay(failure, attempt, loop.time() - began, random.random())
                rule = policy.rule(failure)
                if delay is None or rule is None:
                    raise
                maybe_applied = maybe_applied or rule.ambiguous
            fresh_token = False
            attempt += 1
            await asyncio.sleep(delay)

    async def _attempt(self, request: Request, fresh_token: bool, timeout: float | None) -> Response:
        token = self._token if isinstance(self._token, str | None) else await self._ask(request, fresh_token)
        if token and not self._trusted:
            raise UntrustedHostError(
                f"the bot's token is not sent to {self.service_url!r}: it is no https URL of a host on the "
                "cloud's allow-list, or has a query, a fragment or '..'. If you trust its host, add it with "
                "with_overrides(cloud, service_hosts=(*cloud.service_hosts, ...)). Nothing was sent",
                request,
            )
        if not self._is_http:
            raise ConnectError(
                f"{self.service_url!r} is no http or https service URL, or has a query, a fragment or '..'; "
                "nothing was sent",
                request,
            )
        signed = _with_token(request, token) if token else request
        try:
            async with asyncio.timeout(timeout) as limit:
                response = await self.transport.send(signed)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise RequestTimeoutError(
                f"{request.method} {request.url}: no answer within {timeout:g} s", request
            ) from error
        except TransportError as error:
            # What people log must not hold the token.
            error.request = request
            error.args = (str(error), request)
            raise
        if response.status >= 300:
            raise status_error(request, response)
        return response

    async def signed(self, request: Request, *, fresh: bool = False) -> Request:
        """``request`` with the bot's token, if the cloud lets it go to that URL, else as it is.

        For reading what the service points to at a URL of its own choosing, such as a picture. On loopback
        the token goes to the service URL's own scheme, host and port only: whoever wrote the message may have
        chosen the URL, and other programs listen there.
        """
        if self._token is None or not self._may_have_token(request.url):
            return request
        token = self._token if isinstance(self._token, str) else await self._ask(request, fresh)
        return _with_token(request, token) if token else request

    def _may_have_token(self, url: str) -> bool:
        if is_loopback_url(url):
            return origin(url) == origin(f"{self.service_url}/")
        return self.cloud.trusts(url)

    @cached_property
    def _trusted(self) -> bool:
        """Whether the token may go below the service URL: no path changes the host."""
        url = f"{self.service_url}/"
        return self.cloud.trusts(url) and has_plain_path(url)

    @cached_property
    def _is_http(self) -> bool:
        url = f"{self.service_url}/"
        return is_http_url(url) and has_plain_path(url)

    async def _ask(self, request: Request, fresh: bool) -> str | None:
        """The token, from a source that may have to fetch it."""
        source = self._token
        try:
            async with asyncio.timeout(TOKEN_TIMEOUT) as limit:
                with telemetry.API.span(Span.AUTH_OUTBOUND, client=True) as span:
                    if span is not None:
                        span.set(Attribute.AUTH_FLOW, self._flow)
                    if isinstance(source, TokenSource):
                        return await source.get(fresh=fresh)
                    assert callable(source)
                    token = source()
                    return await token if isawaitable(token) else token
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ConnectError(
                f"{request.method} {request.url}: the bot's token did not come within {TOKEN_TIMEOUT:g} s; "
                "nothing was sent",
                request,
            ) from error


def _with_token(request: Request, token: str) -> Request:
    headers = {**request.headers, "Authorization": f"Bearer {token}"}
    return Request(request.method, request.url, headers, request.body)


def _segment(value: str) -> str:
    if not isinstance(value, str) or value in ("", ".", ".."):
        raise ValueError(f"{value!r} is no id: it cannot be one segment of a path")
    return _quoted(value)


@lru_cache(maxsize=4096)  # a conversation is written to many times in a row
def _quoted(value: str) -> str:
    return quote(value, safe="")


def _query_value(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_ENCODER = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode_json(value: object) -> bytes:
    """The JSON of a request body: of a model by its JSON names, without what is None. Raises TypeError or
    ValueError for what JSON cannot hold."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, pydantic.BaseModel):
        try:
            # In one pass, without the dicts between.
            written = value.__pydantic_serializer__.to_json(value, by_alias=True, exclude_none=True)
            if b"NaN" not in written and b"Infinity" not in written:
                return written
        except PydanticSerializationError:
            pass
        # Halves of surrogate pairs, which the way below can write; perhaps numbers, which it refuses.
        value = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    text = _ENCODER.encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Models emit halves of surrogate pairs: whole pairs become their character, lone halves U+FFFD.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


@cache
def _user_agent() -> str:
    from importlib.metadata import version  # not with the package: it would slow the import down

    return f"cadenza-api/{version('cadenza-api')}"


def _default_transport() -> Transport:
    from .aiohttp_transport import AiohttpTransport

    return AiohttpTransport()
