"""A streamer of Teams, in the hands of `StreamerContract`: the emulator is its service and its user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from cadenza.api import ApiClient
from cadenza.apps.stream import HttpStream
from cadenza.testing import Teams, User, VirtualClock, each, status
from cadenza.testing.contracts import ShownMessage


class TeamsScreen:
    """The user of an `HttpStream`, or of a class derived from it."""

    def __init__(self, service: Teams, user: User, kind: type[HttpStream] = HttpStream) -> None:
        self._service = service
        self._screen = service.screen(user)
        self._user = user
        api = ApiClient(service.url, transport=service.transport)
        self.streamer = kind(api, service.conversation_reference(user))

    async def shown(self) -> list[ShownMessage]:
        return [
            ShownMessage(
                message.text,
                message.informative,
                message.state in ("final", "message"),
                tuple(json.dumps(one, ensure_ascii=False) for one in message.attachments),
            )
            for message in self._screen.messages
            if not message.deleted
        ]

    async def press_stop(self) -> None:
        self._user.press_stop()

    async def break_delivery(self) -> None:
        self._service.fault(each(status(503)))

    async def settle(self) -> None:
        await asyncio.sleep(3)  # a chunk a second, and an answer for each


async def screen_of(kind: type[HttpStream]) -> AsyncIterator[TeamsScreen]:
    """A new one, in virtual time; at the end the emulator must have nothing to complain of."""
    async with VirtualClock(), Teams() as service:
        yield TeamsScreen(service, service.user(), kind)
        service.check()
