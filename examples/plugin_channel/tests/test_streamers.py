"""The contract of streamers on both of the example: what they write is read as their users read it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from cadenza.api import Account, ConversationAccount, ConversationReference
from cadenza.apps import PluginStartEvent
from cadenza.testing import VirtualClock
from cadenza.testing.contracts import ShownMessage, StreamerContract
from local_channels import ConsoleStreamer, Terminal, WebChannel, WebSocketStreamer, room_id
from local_channels.screen import Shown

from .readers import KEY, Page, Tty, open_page, read


async def gone(message: Shown) -> None:
    raise OSError("the other end of the pipe is closed")


class Console:
    """The user of a `ConsoleStreamer`."""

    def __init__(self) -> None:
        self._out = Tty()
        self._terminal = Terminal(self._out)
        self.streamer = ConsoleStreamer(self._terminal)

    async def shown(self) -> list[ShownMessage]:
        return list(read(self._out.getvalue()))

    async def break_delivery(self) -> None:
        self._terminal.show = gone  # type: ignore[method-assign]

    async def press_stop(self) -> None:
        self.streamer.press_stop()

    async def settle(self) -> None:
        await self.streamer.idle()


class Browser:
    """The user of a `WebSocketStreamer`, at the other end of a real socket."""

    def __init__(self, streamer: WebSocketStreamer, page: Page) -> None:
        self.streamer = streamer
        self._page = page

    async def shown(self) -> list[ShownMessage]:
        await asyncio.sleep(0.1)  # the way through the socket
        return [
            ShownMessage(
                one["text"],
                one["line"] if one["state"] == "growing" else None,
                one["state"] == "final",
                tuple("\n".join(card) for card in one["cards"]),
            )
            for one in self._page.messages.values()
        ]

    async def press_stop(self) -> None:
        await asyncio.sleep(0.1)
        await self._page.press_stop()
        await asyncio.sleep(0.1)

    async def settle(self) -> None:
        await self.streamer.idle()


class TestConsoleStreamer(StreamerContract):
    @pytest.fixture
    async def backend(self, clock: VirtualClock) -> Console:
        return Console()


class TestWebSocketStreamer(StreamerContract):
    @pytest.fixture
    async def backend(self, clock: VirtualClock) -> AsyncIterator[Browser]:
        channel = WebChannel(port=0)
        await channel.on_start(PluginStartEvent(None))
        room = ConversationAccount(id=room_id(KEY))
        ref = ConversationReference(channel_id="web", conversation=room, bot=Account(id="bot"))
        async with open_page(channel, KEY) as page:
            yield Browser(channel.create_stream(ref), page)
        await channel.on_stop()
