"""The emulator as a transport in this process: `ApiClient(teams.url, transport=teams.transport)`."""

from __future__ import annotations

import asyncio

from cadenza.api import ConnectionLostError, Request, RequestTimeoutError, Response
from cadenza.testing.driver import Driver
from cadenza.testing.exchange import ServiceRequest

__all__ = ["EmulatorTransport"]


class EmulatorTransport:
    """A `cadenza.api.Transport` that reaches the emulated service without a network.

    It answers for every host: what precedes `/v3/` in a URL is taken for the service URL. `timeout` is how
    many seconds an answer may take, as the read time-out of a real transport. A connection that a fault
    breaks is a `ConnectionLostError`, silence a `RequestTimeoutError`.
    """

    def __init__(self, driver: Driver, *, timeout: float = 30.0) -> None:
        self._driver = driver
        self._timeout = timeout

    async def send(self, request: Request) -> Response:
        """Carry one request to the service and back."""
        before, version, after = request.url.partition("/v3/")
        target = version + after if version else before.partition("://")[2].partition("/")[2]
        await asyncio.sleep(0)  # a network always lets the others go on
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._driver.exchange(
                    ServiceRequest(request.method, target, request.headers, request.body)
                )
        except TimeoutError:
            raise RequestTimeoutError(
                f"{request.method} {request.url}: no answer within {self._timeout:g} s", request
            ) from None
        if reply is None:
            raise ConnectionLostError(f"{request.method} {request.url}: the connection was reset", request)
        headers = dict(reply.headers)
        if reply.content_type is not None:
            headers.setdefault("content-type", reply.content_type)
        return Response(reply.status, headers, reply.encode())

    async def close(self) -> None:
        """Do nothing: the transport holds nothing, and others may share it."""
