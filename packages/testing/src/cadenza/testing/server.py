"""The emulator as a real HTTP server on loopback, on a port of the system's choosing."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from aiohttp import web
from cadenza.api import Request
from cadenza.testing.driver import Driver
from cadenza.testing.exchange import ServiceRequest
from cadenza.testing.identity import concerns

__all__ = ["Server"]

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes. What is larger is refused unread; the limit for messages is a rule of the service."""


class Server:
    """Serves a driver's service; `url` is its service URL, without a slash at the end."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> str:
        """Listen on 127.0.0.1 and return the URL."""
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self._answer)
        # With handler_cancellation a client that gives up is seen at once.
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=5.0,
        )
        await self._runner.setup()
        # A crowd of streams connects at once; a connection that finds no room is tried again after a second.
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return self.url

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read() if request.body_exists else None
        url = self.url + request.raw_path
        if concerns(url, served=True):
            reply = await self._driver.identify(Request(request.method, url, request.headers, body))
        else:
            reply = await self._driver.exchange(
                ServiceRequest(request.method, request.raw_path, request.headers, body)
            )
        if reply is None:
            _reset(request.transport)
            return web.Response(status=500)  # goes nowhere
        headers: dict[str, Any] = dict(reply.headers)
        if reply.content_type is not None:
            headers.setdefault("content-type", reply.content_type)
        return web.Response(status=reply.status, body=reply.encode(), headers=headers)


def _reset(transport: asyncio.Transport | None) -> None:
    """Break a connection the hard way, so that the peer reads a reset and not an end."""
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
