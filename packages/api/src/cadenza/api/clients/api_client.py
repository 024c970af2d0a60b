"""The client of the Bot Connector REST API: URLs, tokens, retries and errors in one place."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, cached_property, lru_cache
from inspect import isawaitable
from json import JSONEncoder
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable
from urllib.parse import quote, urlencode

from ..clouds import PUBLIC, CloudEnvironment, is_http_url
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
from .conversations import ConversationClient
from .retry import DEFAULT_RETRY, RetryPolicy
from .transport import Request, Response, Transport

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
    """The REST API at one service URL.

    ``token`` goes only to https hosts of ``cloud.service_hosts`` and to loopback; a call that would take it
    elsewhere raises UntrustedHostError and sends nothing. Without a ``transport`` the client makes an
    :class:`~cadenza.api.AiohttpTransport` with its default time-outs, and closes that one with itself; a
    given transport is left to who gave it. ``retry`` rules every call that does not bring its own policy.
    """

    def __init__(
        self,
        service_url: str,
        *,
        token: Token = None,
        transport: Transport | None = None,
        cloud: CloudEnvironment = PUBLIC,
        retry: RetryPolicy = DEFAULT_RETRY,
    ) -> None:
        self._service_url = service_url.rstrip("/")
        self._cloud = cloud
        self.retry = retry
        self.transport = _default_transport() if transport is None else transport
        self._owns_transport = transport is None
        self._token = token

    @property
    def service_url(self) -> str:
        """Where the paths begin, without a slash at the end. For another one see :meth:`at`."""
        return self._service_url

    @property
    def cloud(self) -> CloudEnvironment:
        """Says which hosts may have the token."""
        return self._cloud

    @property
    def conversations(self) -> ConversationClient:
        """Messages, members and conversations."""
        return ConversationClient(self)  # not kept: the two would refer to each other

    def at(self, service_url: str) -> ApiClient:
        """A client for another service URL that shares everything else, the transport included. Cheap; needs
        no closing."""
        return ApiClient(
            service_url, token=self._token, transport=self.transport, cloud=self.cloud, retry=self.retry
        )

    def through(self, transport: Transport) -> ApiClient:
        """A client that shares everything else, and sends through `transport`, which it does not close."""
        return ApiClient(
            self.service_url, token=self._token, transport=transport, cloud=self.cloud, retry=self.retry
        )

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
        retry: RetryPolicy | None = None,
        fresh_token: bool = False,
        timeout: float | None = None,
    ) -> Response:
        """Send ``json`` (bytes go as they are) to the path that ``segments`` make below the service URL, and
        return a successful answer.

        Each segment is percent-encoded and stays one segment, whatever it holds; an empty one, ``.`` and
        ``..`` raise ValueError, because no encoding keeps servers from resolving them. Query parameters that
        are None are not sent. ``retry`` replaces the client's policy; ``fresh_token`` asks a TokenSource for
        a new token; ``timeout`` is the longest wait for one answer, in seconds (None: the transport's).

        Raises a subclass of HttpStatusError for a status of 300 or more, of TransportError where no answer
        was read, and UntrustedHostError. One exception: a DELETE that is repeated because its first answer
        was lost and then finds nothing has succeeded, and its 404 is returned.
        """
        request = self._request(method, segments, query, json)
        return await self._send(request, self.retry if retry is None else retry, fresh_token, timeout)

    async def fetch(
        self,
        read: Callable[[Any], T],
        method: str,
        *segments: str,
        query: Mapping[str, str | int | bool | None] | None = None,
        json: object | None = None,
    ) -> T:
        """:meth:`call`, and what ``read`` makes of the answer's JSON (None for an empty body).

        Raises InvalidResponseError if the body is not JSON or ``read`` raises ValueError.
        """
        request = self._request(method, segments, query, json)
        response = await self._send(request, self.retry, False, None)
        try:
            return read(response.json())
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
    ) -> Request:
        url = "/".join([self.service_url, *map(_segment, segments)])
        given = {name: _query_value(value) for name, value in (query or {}).items() if value is not None}
        if given:
            url += "?" + urlencode(given, quote_via=quote)
        headers = {"Accept": "application/json", "User-Agent": _user_agent()}
        if json is None:
            return Request(method, url, headers)
        return Request(method, url, {**headers, "Content-Type": "application/json"}, encode_json(json))

    async def _send(
        self, request: Request, policy: RetryPolicy, fresh_token: bool, timeout: float | None
    ) -> Response:
        loop = asyncio.get_running_loop()
        began = loop.time()
        attempt = 1
        may_refresh = policy.refresh_token and isinstance(self._token, TokenSource) and not fresh_token
        maybe_applied = False
        while True:
            try:
                return await self._attempt(request, fresh_token, timeout)
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
                "cloud's allow-list. If you trust it, add its host with "
                "with_overrides(cloud, service_hosts=(*cloud.service_hosts, ...)). Nothing was sent",
                request,
            )
        if not self._is_http:
            raise ConnectError(
                f"{self.service_url!r} is no http or https service URL; nothing was sent", request
            )
        signed = request
        if token:
            headers = {**request.headers, "Authorization": f"Bearer {token}"}
            signed = Request(request.method, request.url, headers, request.body)
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

    @cached_property
    def _trusted(self) -> bool:
        """Whether the token may go below the service URL: no path changes the host."""
        return self.cloud.trusts(f"{self.service_url}/")

    @cached_property
    def _is_http(self) -> bool:
        return is_http_url(f"{self.service_url}/")

    async def _ask(self, request: Request, fresh: bool) -> str | None:
        """The token, from a source that may have to fetch it."""
        source = self._token
        try:
            async with asyncio.timeout(TOKEN_TIMEOUT) as limit:
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
    """The JSON of a request body. Raises TypeError or ValueError for what JSON cannot hold."""
    if isinstance(value, bytes):
        return value
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
