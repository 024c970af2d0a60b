"""The emulator as a transport in this process: `ApiClient(teams.url, transport=teams.transport)`."""

from __future__ import annotations

import asyncio
import re

from cadenza.api import ConnectError, ConnectionLostError, Request, RequestTimeoutError, Response
from cadenza.testing.driver import Driver
from cadenza.testing.exchange import Reply, ServiceRequest
from cadenza.testing.identity import concerns

__all__ = ["EmulatorTransport"]


_SERVICE = re.compile(r"/(?=v3/|v1/|api/)")
"""Where the service URL ends."""


class EmulatorTransport:
    """A `cadenza.api.Transport` that reaches the emulated service without a network.

    It answers for every host: those of the identity platform, and all others for the service, whose URL is
    taken to be what precedes `/v3/` (or `/v1/`, or `/api/`). `timeout` is how
    many seconds an answer may take, as the read time-out of a real transport. A connection that a fault
    breaks is a `ConnectionLostError`, silence a `RequestTimeoutError`.
    """

    def __init__(self, driver: Driver, *, timeout: float = 30.0) -> None:
        self._driver = driver
        self._timeout = timeout

    async def send(self, request: Request) -> Response:
        """Carry one request to the service and back."""
        await asyncio.sleep(0)  # a network always lets the others go on
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._answer(request)
        except TimeoutError:
            raise RequestTimeoutError(
                f"{_shown(request)}: no answer within {self._timeout:g} s", request
            ) from None
        if reply is None:
            raise ConnectionLostError(f"{_shown(request)}: the connection was reset", request)
        headers = dict(reply.headers)
        if reply.content_type is not None:
            headers.setdefault("content-type", reply.content_type)
        return Response(reply.status, headers, reply.encode())

    async def _answer(self, request: Request) -> Reply | None:
        base = self._driver.url
        here = request.url.startswith(f"{base}/")
        if concerns(request.url, served=here):
            reply = await self._driver.identify(request)
            if reply is None:
                raise ConnectError(f"{_shown(request)}: the connection was refused", request)
            return reply
        if here:
            target = request.url[len(base) :]
        else:
            whole = request.url.partition("://")[2]
            found = _SERVICE.search(whole)
            target = whole[found.start() :] if found else whole.partition("/")[2]
        return await self._driver.exchange(
            ServiceRequest(request.method, target, request.headers, request.body)
        )

    async def close(self) -> None:
        """Do nothing: the transport holds nothing, and others may share it."""


def _shown(request: Request) -> str:
    """A request in the text of an error: without the query, where a code to sign in may be."""
    return f"{request.method} {request.url.partition('?')[0]}"
