"""Those who read what the bot says: at the console, and in a page."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from cadenza.testing.contracts import ShownMessage
from local_channels import WebChannel

KEY = "0123456789abcdef" * 2


class Tty(io.StringIO):
    """A terminal, and what was written to it."""

    def isatty(self) -> bool:
        return True


def read(written: str) -> list[ShownMessage]:
    """The messages on a console: each begins with "bot", and all its further lines are indented."""
    messages: list[ShownMessage] = []
    *lines, last = written.split("\n")
    blocks: list[list[str]] = []
    for line in [*lines, last]:
        line = line.rpartition("\r\x1b[K")[2]
        if line.startswith("bot"):
            blocks.append([line])
        elif line:
            assert line.startswith("     "), f"neither begins a message nor goes on with one: {line!r}"
            blocks[-1].append(line.removeprefix("     "))
    for block in blocks:
        complete = block is not blocks[-1] or last == ""
        if block[0].startswith("bot ... "):
            messages.append(ShownMessage(informative=block[0].removeprefix("bot ... ")))
            continue
        if block[0].startswith(("bot again: ", "bot (took that back)")):
            messages.pop()
        if block[0] == "bot (took that back)":
            continue
        cards = tuple(line for line in block[1:] if line.startswith("┃ "))
        text = "\n".join([block[0].partition(": ")[2], *(line for line in block[1:] if line not in cards)])
        stopped = complete and text.endswith(" [stopped]")
        messages.append(ShownMessage(text.removesuffix(" [stopped]"), None, complete and not stopped, cards))
    return messages


class Page:
    """A page in a browser: what page.html does with what comes through the socket."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self.messages: dict[str, dict[str, Any]] = {}
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            assert message.type is WSMsgType.TEXT
            frame = message.json()
            if frame["type"] == "begin":
                self.messages.clear()
            elif frame.get("state") == "removed":
                self.messages.pop(frame["id"], None)
            else:
                self.messages[frame["id"]] = frame

    async def say(self, id: str, text: str) -> None:
        await self._socket.send_json({"type": "say", "id": id, "text": text})

    async def say_raw(self, data: str) -> None:
        await self._socket.send_str(data)

    async def press_stop(self) -> None:
        """Stop is there as long as a message of the bot grows."""
        for message in self.messages.values():
            if message["from"] == "bot" and message["state"] == "growing":
                await self._socket.send_json({"type": "stop", "id": message["id"]})

    async def leave(self) -> None:
        await self._socket.close()
        await self.reading

    @property
    def shown(self) -> list[tuple[str, str]]:
        return [(message["text"], message.get("state", "")) for message in self.messages.values()]


@asynccontextmanager
async def open_page(channel: WebChannel, key: str = KEY) -> AsyncIterator[Page]:
    async with (
        ClientSession() as session,
        session.ws_connect(f"http://{channel.host}:{channel.port}/socket/{key}") as socket,
    ):
        page = Page(socket)
        yield page
        await page.leave()
