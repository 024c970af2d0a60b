"""The transport on aiohttp: one session for everything that a bot sends.

This module is imported when the first client is made, not with the package: aiohttp builds TLS contexts when
it is imported.
"""

from __future__ import annotations

import asyncio
import io
import ssl as tls
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from ..errors import ConnectError, ConnectionLostError, RequestTimeoutError, TransportError
from .streaming import StreamedResponse
from .transport import Request, Response

LONG_BODY = 256 * 1024
"""Bytes from which on a request's body is not written in one go. Ours; aiohttp complains from 1 MiB on."""


class AiohttpTransport:
    """Sends requests over one shared aiohttp session that is opened with the first request.

    ``connect_timeout`` bounds waiting for a connection, TLS included, and ``total_timeout`` a whole request.
    Both are in seconds and neither can be switched off, so that a service that never answers ends in an
    error. ``proxy`` is an http(s) URL, with credentials if it needs some. ``ssl`` is a context to verify the
    service with (a private CA, client certificates); by default the system's authorities. ``limit`` is how
    many connections are open at once; idle ones are kept for reuse.

    Redirects are answers like any other and are not followed; cookies are not kept. One transport serves one
    running event loop at a time; when that loop is closed and another one sends, a new session is opened.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 10.0,
        total_timeout: float = 60.0,
        proxy: str | None = None,
        ssl: tls.SSLContext | None = None,
        limit: int = 500,
    ) -> None:
        times = {
            "connect_timeout": connect_timeout,
            "total_timeout": total_timeout,
        }
        for name, seconds in times.items():
            if not seconds > 0:
                raise ValueError(f"{name} is a number of seconds above 0, not {seconds!r}")
        self._timeout = aiohttp.ClientTimeout(
            total=total_timeout, connect=connect_timeout, sock_connect=connect_timeout
        )
        self._proxy = proxy
        self._ssl = ssl
        self._limit = limit
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, request: Request) -> Response:
        try:
            async with await self._answer(request, self._timeout) as answer:
                body = await answer.read()
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status, headers, body)
        except (aiohttp.ClientError, OSError) as error:
            raise _transport_error(error, request, self._timeout) from error

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[StreamedResponse]:
        """As `send`, but the body is left to be read in pieces while the block lasts. ``total_timeout`` is
        then how long the service may be silent, at the head and between two pieces."""
        silence = aiohttp.ClientTimeout(
            total=None,
            connect=self._timeout.connect,
            sock_connect=self._timeout.sock_connect,
            sock_read=self._timeout.total,
        )
        try:
            answer = await self._answer(request, silence)
        except (aiohttp.ClientError, OSError) as error:
            raise _transport_error(error, request, self._timeout) from error

        async def chunks() -> AsyncIterator[bytes]:
            try:
                async for chunk in answer.content.iter_any():
                    yield chunk
            except (aiohttp.ClientError, OSError) as error:
                raise _transport_error(error, request, self._timeout) from error

        try:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            yield StreamedResponse(answer.status, headers, chunks)
        finally:
            # Closed, not given back: what is left of a file would have to be read to its end.
            answer.close()

    async def _answer(self, request: Request, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """The answer, of which only the head has been read."""
        session = await self._open_session()
        try:
            return await session.request(
                request.method,
                URL(request.url, encoded=True),  # as it is: yarl would turn %2F and %3F back
                headers=request.headers,
                data=_body(request),
                proxy=self._proxy,
                allow_redirects=False,
                timeout=timeout,
            )
        except ValueError as error:
            if isinstance(error, aiohttp.ClientError | OSError):
                raise
            # Ports above 65535, labels of a host that are empty or too long, line breaks in headers.
            raise ConnectError(
                f"{request.method} {request.url} cannot be sent: {error}; nothing was sent", request
            ) from error

    async def close(self) -> None:
        session, self._session, self._loop = self._session, None, None
        if session is not None:
            await session.close()

    async def _open_session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        stale = self._session
        if stale is not None and self._loop is loop:
            return stale
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("this transport is in use by another event loop: give each loop its own")
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._limit, ssl=True if self._ssl is None else self._ssl),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp would repeat a PUT or DELETE by itself when a kept-alive connection breaks. Repeating is the
        # retry policy's decision, and a stream counts its requests.
        session._retry_connection = False
        self._session, self._loop = session, loop
        if stale is not None:
            await stale.close()
        return session


def _body(request: Request) -> bytes | io.BytesIO | None:
    body = request.body
    # A long one is written in pieces, between which others have their turn.
    return body if body is None or len(body) < LONG_BODY else io.BytesIO(body)


def _transport_error(error: Exception, request: Request, timeout: aiohttp.ClientTimeout) -> TransportError:
    what = f"{request.method} {request.url}"
    detail = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectError(f"{what}: no connection within {timeout.connect:g} s; nothing was sent", request)
    if isinstance(error, TimeoutError):
        return RequestTimeoutError(
            f"{what}: no answer within {timeout.total:g} s; it may have been applied", request
        )
    if isinstance(
        error,
        aiohttp.ClientConnectorError
        | aiohttp.ClientHttpProxyError
        | aiohttp.ClientSSLError
        | aiohttp.ServerFingerprintMismatch
        | aiohttp.InvalidURL
        | aiohttp.NonHttpUrlClientError,
    ):
        return ConnectError(f"{what}: {detail}; nothing was sent", request)
    return ConnectionLostError(f"{what}: {detail}; it may have been applied", request)
