"""A relay on loopback that looks at what goes through: how many connections, and what was asked on them."""

from __future__ import annotations

import asyncio
import re
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Relay"]

ANSWER = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 10\r\nConnection: close\r\n"
    b'\r\n{"id":"1"}'
)


class Relay:
    """Passes bytes on to the server at `target` and back; without a target it answers each request itself,
    with 201, and keeps what it was given, as a service or a proxy."""

    def __init__(self, target: str | None = None) -> None:
        self.url = ""
        self.opened = 0
        """Connections that were made."""
        self.open = 0
        """Connections that neither side has ended."""
        self.heads: list[str] = []
        """What came first on each connection: request line and headers."""
        self.bodies: list[bytes] = []
        """The bodies that it answered itself."""
        self._target = None if target is None else urlsplit(target)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode("latin-1"))
            if self._target is None:
                length = re.search(rb"(?i)content-length: (\d+)", head)
                self.bodies.append(await reader.readexactly(int(length[1]) if length else 0))
                writer.write(ANSWER)
                await writer.drain()
            else:
                await self._pass_on(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _pass_on(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._target is not None
        upstream, downstream = await asyncio.open_connection(self._target.hostname, self._target.port)
        downstream.write(head)
        ways = [
            asyncio.create_task(_copy(reader, downstream)),
            asyncio.create_task(_copy(upstream, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            downstream.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
